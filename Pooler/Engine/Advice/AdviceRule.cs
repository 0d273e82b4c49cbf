namespace Pooler.Engine.Advice;

/// <summary>One thing that can be wrong with a pool or the process, and how to see it.</summary>
/// <param name="Name">Short name, in words joined by hyphens.</param>
/// <param name="Find">Looks for it.</param>
internal sealed record AdviceRule(string Name, Func<AdviceInput, IEnumerable<Finding>> Find)
{
    /// <summary>What it takes to be found, for the documentation.</summary>
    public required string Sees { get; init; }

    /// <summary>Why that matters, for the documentation.</summary>
    public required string Matters { get; init; }

    /// <summary>What to do, for the documentation.</summary>
    public required string Remedy { get; init; }

    /// <summary>
    /// How many looks in a row must find it before it is told. Rules that look at lasting facts need one, those whose facts
    /// may be over at once two.
    /// </summary>
    public int Looks { get; init; } = 1;

    /// <summary>
    /// The question that this rule and others answer about a pool, such as why its clients wait. Only one answer is told: a
    /// new one takes the place of the old when it has been found a few times and the old one not any more.
    /// </summary>
    public string? Question { get; init; }

    /// <summary>Whether the log tells of it: not of what the log has said in other words.</summary>
    public bool IsLogged { get; init; } = true;

    /// <summary>Why clients of a pool whose servers are all in use wait.</summary>
    public const string WhyClientsWait = "why clients wait";
}
