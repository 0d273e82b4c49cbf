namespace Pooler.Engine.Configuration;

/// <summary>
/// Where a configuration is read from, weakest first: defaults, <see cref="Keys"/>, <see cref="File"/>,
/// <see cref="Environment"/>, <see cref="CommandLine"/>. The file is what someone names on the command line, so it
/// wins over an appsettings.json that lies around; the environment is what a deployment sets, so it wins over both.
/// </summary>
public sealed record ConfigurationSources
{
    /// <summary>The ini file; null: none.</summary>
    public string? File { get; init; }

    /// <summary>Environment variables.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>.NET configuration keys, such as <c>Pooler:PoolMode</c>, with their values; others than <c>Pooler:</c> are ignored.</summary>
    public IEnumerable<KeyValuePair<string, string?>> Keys { get; init; } = [];

    /// <summary>Settings by ini name that options of the command line stand for.</summary>
    public IReadOnlyDictionary<string, string> CommandLine { get; init; } = new Dictionary<string, string>();

    /// <summary>Whether the process has a network of its own: then it listens on all addresses unless told otherwise.</summary>
    public bool InContainer { get; init; }
}

/// <summary>Something wrong, or worth knowing, in a configuration. Never holds a secret.</summary>
/// <param name="Where">File and line, environment variable or configuration key; null when it concerns no single place.</param>
/// <param name="Message">What is wrong, of which setting, and what is allowed.</param>
public sealed record ConfigurationIssue(string? Where, string Message)
{
    /// <inheritdoc/>
    public override string ToString() => Where is null ? Message : $"{Where}: {Message}";
}

/// <summary>The outcome of reading a configuration.</summary>
public sealed record ConfigurationResult
{
    /// <summary>The configuration; null exactly when there are <see cref="Errors"/>.</summary>
    public PoolerConfiguration? Configuration { get; init; }

    /// <summary>All that is wrong.</summary>
    public IReadOnlyList<ConfigurationIssue> Errors { get; init; } = [];

    /// <summary>What was accepted but will not do what it says, and the like.</summary>
    public IReadOnlyList<ConfigurationIssue> Warnings { get; init; } = [];

    /// <summary>Where global settings, and entries as <c>database shop</c> or <c>user bob</c>, were given; defaults are not in it.</summary>
    public IReadOnlyDictionary<string, string> Origins { get; init; } = new Dictionary<string, string>();
}
