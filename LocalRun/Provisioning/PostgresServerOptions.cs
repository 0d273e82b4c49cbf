namespace LocalRun.Provisioning;

/// <summary>How to start a throwaway PostgreSQL.</summary>
public sealed class PostgresServerOptions
{
    /// <summary>The programs to run; the machine's own, else what can be installed, when null.</summary>
    public PostgresInstallation? Installation { get; init; }

    /// <summary>Name of the superuser.</summary>
    public string User { get; init; } = "postgres";

    /// <summary>The superuser's password; a random one when null.</summary>
    public string? Password { get; init; }

    /// <summary>TCP port on 127.0.0.1; a free one when null.</summary>
    public int? Port { get; init; }

    /// <summary>
    /// Settings for postgresql.conf, by name; values unquoted. <c>fsync</c>, <c>synchronous_commit</c> and
    /// <c>full_page_writes</c> are off unless set here: the data is thrown away anyway.
    /// </summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>
    /// Lines to stand before the others in pg_hba.conf, such as <c>host all legacy 127.0.0.1/32 md5</c>. All other
    /// connections need scram-sha-256.
    /// </summary>
    public IReadOnlyList<string> HbaRules { get; init; } = [];

    /// <summary>
    /// A running server to follow: this one becomes its hot standby by streaming replication, with its users, passwords,
    /// rules and databases. <see cref="User"/>, <see cref="Password"/>, <see cref="HbaRules"/> and <see cref="Databases"/>
    /// are not looked at then.
    /// </summary>
    public PostgresServer? StandbyOf { get; init; }

    /// <summary>
    /// Files to put into the data directory, by name: certificates and keys, say. Only the server's user may read them, as
    /// PostgreSQL demands of keys.
    /// </summary>
    public IReadOnlyDictionary<string, string> DataFiles { get; init; } = new Dictionary<string, string>();

    /// <summary>Databases to create.</summary>
    public IReadOnlyList<string> Databases { get; init; } = [];

    /// <summary>Called for each line of the server's log.</summary>
    public Action<string>? OnLog { get; init; }

    /// <summary>Told what is being done.</summary>
    public IProgress<string>? Progress { get; init; }
}
