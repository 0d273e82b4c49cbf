namespace Pooler.Engine.Advice;

/// <summary>One piece of advice: what is the matter, the evidence, and what to change.</summary>
/// <param name="Rule">Short name of the rule, in words joined by hyphens: pool-too-small.</param>
/// <param name="Level">warning or info.</param>
/// <param name="Database">Database it concerns; empty for the whole process.</param>
/// <param name="User">User it concerns; empty for all.</param>
/// <param name="Finding">What is the matter, in one sentence.</param>
/// <param name="Evidence">The figures that show it.</param>
/// <param name="Setting">The setting to change, or empty when the remedy is not a setting.</param>
/// <param name="Current">Its value.</param>
/// <param name="Suggested">The value to try.</param>
/// <param name="Remedy">What to do, in one or two sentences.</param>
/// <param name="Since">When it was first seen without a break.</param>
public sealed record AdviceItem(
    string Rule, string Level, string Database, string User, string Finding, string Evidence, string Setting, string Current,
    string Suggested, string Remedy, DateTimeOffset Since);
