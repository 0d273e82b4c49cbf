using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Advice;

/// <summary>All that the rules look at, at one moment. Immutable: a rule is a function of it and of nothing else.</summary>
internal sealed record AdviceInput
{
    /// <summary>The moment.</summary>
    public required DateTimeOffset Now { get; init; }

    /// <summary>
    /// How long an interval of the history is: the unit of what rules call long. Five seconds, but for tests that cannot
    /// wait for it.
    /// </summary>
    public TimeSpan Period { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The configuration that runs.</summary>
    public required PoolerConfiguration Configuration { get; init; }

    /// <summary>The pools, sorted by database and user.</summary>
    public IReadOnlyList<PoolView> Pools { get; init; } = [];

    /// <summary>The PostgreSQL servers that the pools use or the configuration names.</summary>
    public IReadOnlyList<ServerView> Servers { get; init; } = [];

    /// <summary>The hosts of all databases.</summary>
    public IReadOnlyList<HostSnapshot> Hosts { get; init; } = [];

    /// <summary>The limits of client connections, and how many there are.</summary>
    public IReadOnlyList<ClientLimit> ClientLimits { get; init; } = [];

    /// <summary>Clients that were not let in during the last minute (twelve intervals), by reason; reasons without any are left out.</summary>
    public IReadOnlyDictionary<LoginRefusal, int> FailedLogins { get; init; } = new Dictionary<LoginRefusal, int>();

    /// <summary>Which part of its time each event loop was busy in the last intervals, oldest first.</summary>
    public IReadOnlyList<IReadOnlyList<double>> LoopsBusy { get; init; } = [];

    /// <summary>Cores of this machine.</summary>
    public int Cores { get; init; } = 1;

    /// <summary>Distinct prepared statements that clients hold.</summary>
    public int PreparedStatements { get; init; }

    /// <summary>What the configuration itself shows, as it is warned of when it is read.</summary>
    public IReadOnlyList<(string Setting, string Text)> ConfigurationIssues { get; init; } = [];

    /// <summary>The settings of the moment.</summary>
    public PoolerSettings Settings => Configuration.Settings;

    /// <summary>Some intervals, as a time.</summary>
    public TimeSpan Periods(double count) => Period * count;
}

/// <summary>What one rule has found: an <see cref="AdviceItem"/> without its rule's name and its age.</summary>
/// <param name="Level">How much it matters.</param>
/// <param name="Sentence">What is the matter, in one sentence.</param>
/// <param name="Evidence">The figures that show it.</param>
/// <param name="Remedy">What to do, in one or two sentences.</param>
internal sealed record Finding(AdviceLevel Level, string Sentence, string Evidence, string Remedy)
{
    /// <summary>Database it concerns; empty for the whole process.</summary>
    public string Database { get; init; } = "";

    /// <summary>User it concerns; empty for all.</summary>
    public string User { get; init; } = "";

    /// <summary>Tells findings of one rule on one pool apart, such as the hosts that are down; never shown.</summary>
    public string Subject { get; init; } = "";

    /// <summary>The setting to change; empty when the remedy is not a setting.</summary>
    public string Setting { get; init; } = "";

    /// <summary>Its value.</summary>
    public string Current { get; init; } = "";

    /// <summary>The value to try.</summary>
    public string Suggested { get; init; } = "";
}

/// <summary>How much a finding matters.</summary>
internal enum AdviceLevel
{
    /// <summary>It could be better.</summary>
    Info,

    /// <summary>Somebody waits or fails because of it, or soon will.</summary>
    Warning,
}
