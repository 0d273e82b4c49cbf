namespace Pooler.Engine.Advice;

/// <summary>All rules, in the order in which they are documented.</summary>
internal static class AdviceRules
{
    public static readonly IReadOnlyList<AdviceRule> All =
        [.. SizeRules.All, .. HolderRules.All, .. WaitRules.All, .. ServerRules.All, .. ClientRules.All, .. ProcessRules.All];
}
