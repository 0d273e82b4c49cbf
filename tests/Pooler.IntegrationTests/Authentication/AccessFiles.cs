using LocalRun.Processes;
using LocalRun.Provisioning;
using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>
/// A configuration as people have it: an ini file, a list of users, HBA and ident files in one directory, and the Unix
/// socket beside them.
/// </summary>
internal sealed class AccessFiles : IDisposable
{
    /// <summary>The password of all users of the list.</summary>
    public const string Password = "geheim";

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("pooler-hba-");
    private readonly string _ini;

    /// <param name="postgres">The server of the one database, <c>*</c>.</param>
    /// <param name="variant">The kind of loop.</param>
    /// <param name="more">More lines of section [pgbouncer].</param>
    /// <param name="users">Who is in the list; servers are logged in to as a user they trust, whoever the client is.</param>
    public AccessFiles(PostgresForPooler postgres, Variant variant, string more, params string[] users)
    {
        // Clients of other Unix users are to reach the socket.
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(_directory.FullName, (UnixFileMode)0b111_101_101);
        _ini =
            $"""
            [databases]
            * = host={postgres.Server.Host} port={postgres.Server.Port} user={PostgresForPooler.Trusted}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = 0
            unix_socket_dir = {_directory.FullName}
            io_backend = {variant.Backend}
            event_loops = {variant.Loops}
            auth_file = {PathOf("userlist.txt")}
            auth_hba_file = {PathOf("pg_hba.conf")}
            auth_ident_file = {PathOf("pg_ident.conf")}
            auth_type = hba
            verbose = 1
            pool_mode = transaction
            {more}
            """;
        Write("userlist.txt", string.Concat(users.Select(u => $"\"{u}\" \"{Password}\"\n")));
        Write("pg_hba.conf", "");
        Write("pg_ident.conf", "");
    }

    /// <summary>The Unix socket's directory.</summary>
    public string SocketDirectory => _directory.FullName;

    /// <summary>Further lines of section [pgbouncer].</summary>
    public string More { get; set; } = "";

    /// <summary>Warnings of the last reading.</summary>
    public IReadOnlyList<string> Warnings { get; private set; } = [];

    public string PathOf(string name) => Path.Combine(_directory.FullName, name);

    public string Write(string name, string text)
    {
        File.WriteAllText(PathOf(name), text);
        return PathOf(name);
    }

    /// <summary>Reads everything, as at start and at RELOAD.</summary>
    public PoolerConfiguration Read(string more = "")
    {
        var result = ConfigurationLoader.Load(new ConfigurationSources { File = Write("pooler.ini", $"{_ini}\n{More}\n{more}") });
        Assert.Empty(result.Errors);
        Warnings = [.. result.Warnings.Select(w => w.ToString())];
        return result.Configuration!;
    }

    public RunningPooler Start(RecordingLog? log = null) => RunningPooler.Start(Read(), log);

    /// <summary>psql over the Unix socket, as another user of the machine if one is given.</summary>
    public async Task<(bool Succeeded, string Output)> AskOverSocketAsync(
        RunningPooler pooler, string database, string user, string sql = "SELECT current_database()", string? unixUser = null)
    {
        var cancelled = TestContext.Current.CancellationToken;
        var psql = await Tools.PsqlAsync(cancellationToken: cancelled);
        string[] arguments =
        [
            $"host={SocketDirectory} port={pooler.EndPoint.Port} dbname={database} user={user} connect_timeout=60 sslmode=disable",
            "-X", "-w", "-t", "-A", "-c", sql,
        ];
        var command = unixUser is null
            ? new Command(psql, arguments)
            : new Command("setpriv", [$"--reuid={unixUser}", "--clear-groups", "--", psql, .. arguments]);
        command.Environment["PGPASSWORD"] = null;
        command.Environment["HOME"] = SocketDirectory;
        var result = await command.RunAsync(cancelled);
        return result.ExitCode == 0 ? (true, result.Output.Trim()) : (false, result.Error.Trim());
    }

    public void Dispose() => _directory.Delete(recursive: true);
}
