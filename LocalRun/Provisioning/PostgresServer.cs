using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using LocalRun.Processes;
using Npgsql;

namespace LocalRun.Provisioning;

/// <summary>
/// A throwaway PostgreSQL: its own data directory below the temporary folder, its own port on 127.0.0.1, password
/// authentication (scram-sha-256). It ends with this object, or with this process, however that ends.
/// </summary>
/// <example>
/// <code>
/// await using var postgres = await PostgresServer.StartAsync(new() { Databases = ["shop"] }, cancellationToken);
/// await using var connection = new NpgsqlConnection(postgres.ConnectionString("shop"));
/// </code>
/// </example>
public sealed class PostgresServer : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory;
    private readonly PostgresInstallation _installation;
    private readonly PostgresServerOptions _options;
    private readonly UnprivilegedUser _runAs;
    private ChildProcess _process = null!;

    private PostgresServer(TemporaryDirectory directory, PostgresInstallation installation, PostgresServerOptions options, UnprivilegedUser runAs)
    {
        _directory = directory;
        _installation = installation;
        _options = options;
        _runAs = runAs;
        Password = options.StandbyOf?.Password ?? options.Password ?? Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
        Port = options.Port ?? Ports.Take();
    }

    /// <summary>Always 127.0.0.1.</summary>
    public string Host => "127.0.0.1";

    /// <summary>TCP port.</summary>
    public int Port { get; private set; }

    /// <summary>Name of the superuser.</summary>
    public string User => _options.StandbyOf?.User ?? _options.User;

    /// <summary>The superuser's password.</summary>
    public string Password { get; }

    /// <summary>The folder with PostgreSQL's programs. It may lack psql and pgbench; see <see cref="Tools"/>.</summary>
    public string BinDirectory => _installation.BinDirectory;

    /// <summary>PostgreSQL's version, such as "15.14".</summary>
    public string Version => _installation.Version;

    /// <summary>The folder with the unix socket <c>.s.PGSQL.port</c>: readable by its owner and root. Not used on Windows.</summary>
    public string SocketDirectory => _directory.Path;

    /// <summary>The data directory. It belongs to an unprivileged user when we are root.</summary>
    public string DataDirectory => Path.Combine(_directory.Path, "data");

    /// <summary>Process id of the postmaster.</summary>
    public int ProcessId => _process.Id;

    /// <summary>The last lines of the server's log.</summary>
    public IReadOnlyList<string> LastLogLines => _process.LastLines;

    /// <summary>The running postmaster, for those who watch over it.</summary>
    internal ChildProcess Process => _process;

    /// <summary>Finds or installs PostgreSQL, makes a new data directory, starts the server and waits until it answers.</summary>
    /// <exception cref="ProvisioningException">It could not be installed or started; the message has its log.</exception>
    public static async Task<PostgresServer> StartAsync(PostgresServerOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new PostgresServerOptions();
        var installation = options.Installation ?? await PostgresInstallation.LocateAsync(options.Progress, cancellationToken).ConfigureAwait(false);
        var directory = TemporaryDirectory.Create("pooler-pg-");
        PostgresServer? server = null;
        try
        {
            server = new PostgresServer(directory, installation, options, UnprivilegedUser.Choose());
            await server.InitializeAsync(cancellationToken).ConfigureAwait(false);
            await server.LaunchAsync(cancellationToken).ConfigureAwait(false);
            foreach (var database in options.StandbyOf is null ? options.Databases : [])
                await server.CreateDatabaseAsync(database, cancellationToken).ConfigureAwait(false);
            return server;
        }
        catch
        {
            if (server?._process is not null)
                await server.DisposeAsync().ConfigureAwait(false);
            directory.Dispose();
            throw;
        }
    }

    /// <summary>An Npgsql connection string for a database of this server.</summary>
    public string ConnectionString(string database = "postgres") => new NpgsqlConnectionStringBuilder
    {
        Host = Host,
        Port = Port,
        Username = User,
        Password = Password,
        Database = database,
    }.ConnectionString;

    /// <summary>A libpq address (<c>postgresql://user:password@host:port/database</c>). It holds the password: not for command lines.</summary>
    public string Uri(string database = "postgres") =>
        $"postgresql://{System.Uri.EscapeDataString(User)}:{System.Uri.EscapeDataString(Password)}@{Host}:{Port}/{System.Uri.EscapeDataString(database)}";

    /// <summary>libpq's environment variables (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE), for psql, pgbench and psycopg.</summary>
    public Dictionary<string, string?> Environment(string database = "postgres") => new()
    {
        ["PGHOST"] = Host,
        ["PGPORT"] = Port.ToString(CultureInfo.InvariantCulture),
        ["PGUSER"] = User,
        ["PGPASSWORD"] = Password,
        ["PGDATABASE"] = database,
    };

    /// <summary>Creates a database owned by the superuser.</summary>
    public Task CreateDatabaseAsync(string name, CancellationToken cancellationToken = default) =>
        ExecuteAsync($"CREATE DATABASE {Quote(name)}", cancellationToken: cancellationToken);

    /// <summary>Runs a statement over a connection of its own.</summary>
    /// <returns>First column of the first row, or null.</returns>
    public async Task<object?> ExecuteAsync(string sql, string database = "postgres", CancellationToken cancellationToken = default)
    {
        var connection = new NpgsqlConnection(ConnectionString(database) + ";Pooling=false;Timeout=5");
        await using (connection.ConfigureAwait(false))
        {
            await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
            var command = new NpgsqlCommand(sql, connection);
            await using (command.ConfigureAwait(false))
                return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Ends one backend (<c>pg_terminate_backend</c>); its client sees SQLSTATE 57P01.</summary>
    /// <returns>False when there is no such backend.</returns>
    public async Task<bool> KillBackendAsync(int processId, CancellationToken cancellationToken = default) =>
        await ExecuteAsync($"SELECT pg_terminate_backend({processId})", cancellationToken: cancellationToken).ConfigureAwait(false) is true;

    /// <summary>
    /// Kills one backend with SIGKILL. PostgreSQL then throws out all its clients and recovers, as after a crash.
    /// </summary>
    public void CrashBackend(int processId) => ProcessGroup.Signal(processId, ProcessGroup.SignalKill);

    /// <summary>Reads pg_hba.conf and postgresql.conf again (<c>pg_reload_conf</c>).</summary>
    public Task ReloadAsync(CancellationToken cancellationToken = default) =>
        ExecuteAsync("SELECT pg_reload_conf()", cancellationToken: cancellationToken);

    /// <summary>Stops the server: its clients are thrown out, transactions rolled back. The data stays for <see cref="StartAgainAsync"/>.</summary>
    public async Task StopAsync()
    {
        if (OperatingSystem.IsWindows() && PostgresInstallation.Program(BinDirectory, "pg_ctl") is { } pgCtl && _process.IsRunning)
            await new Command(pgCtl, "stop", "-D", DataDirectory, "-m", "fast").RunAsync().ConfigureAwait(false);

        // SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one. PostgreSQL documentation, "Shutting Down the Server".
        await _process.StopAsync(TimeSpan.FromSeconds(10), ProcessGroup.SignalInterrupt, ProcessGroup.SignalQuit).ConfigureAwait(false);
    }

    /// <summary>Starts a stopped server with the same data on the same port.</summary>
    public async Task StartAgainAsync(CancellationToken cancellationToken = default)
    {
        if (_process.IsRunning)
            throw new InvalidOperationException("The server is running.");
        await LaunchOnceAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        await _process.DisposeAsync().ConfigureAwait(false);
        _directory.Dispose();
    }

    /// <summary>A PostgreSQL identifier in double quotes.</summary>
    internal static string Quote(string identifier) => $"\"{identifier.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    private async Task InitializeAsync(CancellationToken cancellationToken)
    {
        if (_options.StandbyOf is { } primary)
        {
            await CopyAsync(primary, cancellationToken).ConfigureAwait(false);
            return;
        }

        _options.Progress?.Report($"Making a PostgreSQL {Version} data directory …");
        var passwordFile = Path.Combine(_directory.Path, "password");
        await File.WriteAllTextAsync(passwordFile, Password + "\n", cancellationToken).ConfigureAwait(false);
        await _runAs.OwnAsync(_directory.Path, cancellationToken).ConfigureAwait(false);

        var initdb = PostgresInstallation.Program(BinDirectory, "initdb")!;
        var line = _runAs.Run(
            initdb, "-D", DataDirectory, "-U", User, $"--pwfile={passwordFile}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync");
        await new Command(line[0], line.Skip(1)) { WorkingDirectory = _directory.Path }.RunCheckedAsync(cancellationToken).ConfigureAwait(false);
        File.Delete(passwordFile);

        foreach (var (name, content) in _options.DataFiles)
        {
            var file = Path.Combine(DataDirectory, name);
            await File.WriteAllTextAsync(file, content, cancellationToken).ConfigureAwait(false);
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            await _runAs.OwnAsync(file, cancellationToken).ConfigureAwait(false);
        }

        if (_options.HbaRules.Count > 0)
        {
            var hba = Path.Combine(DataDirectory, "pg_hba.conf");
            var rules = await File.ReadAllTextAsync(hba, cancellationToken).ConfigureAwait(false);
            await File.WriteAllTextAsync(hba, $"{string.Join('\n', _options.HbaRules)}\n{rules}", cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task CopyAsync(PostgresServer primary, CancellationToken cancellationToken)
    {
        _options.Progress?.Report($"Copying PostgreSQL {Version} for a standby …");
        await _runAs.OwnAsync(_directory.Path, cancellationToken).ConfigureAwait(false);
        var program = PostgresInstallation.Program(BinDirectory, "pg_basebackup") ?? "pg_basebackup";
        // -R makes it a standby: it writes standby.signal and primary_conninfo, with the password.
        var line = _runAs.Run(program, "-D", DataDirectory, "-R", "-X", "stream", "-c", "fast", "--no-sync");
        var command = new Command(line[0], line.Skip(1)) { WorkingDirectory = _directory.Path };
        foreach (var (name, value) in primary.Environment()) command.Environment[name] = name == "PGDATABASE" ? null : value;
        await command.RunCheckedAsync(cancellationToken).ConfigureAwait(false);
    }

    // Somebody may take the port between our look and the server's bind; then another one is tried.
    private async Task LaunchAsync(CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await LaunchOnceAsync(cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (ProvisioningException) when (_options.Port is null && attempt < 3 && LastLogLines.Any(line => line.Contains("could not bind", StringComparison.Ordinal)))
            {
                Port = Ports.Take();
            }
        }
    }

    private async Task LaunchOnceAsync(CancellationToken cancellationToken)
    {
        await WriteSettingsAsync(cancellationToken).ConfigureAwait(false);
        _options.Progress?.Report($"Starting PostgreSQL {Version} on port {Port} …");
        if (_process is not null)
            await _process.DisposeAsync().ConfigureAwait(false);
        _process = ChildProcess.Start(new ChildProcessOptions
        {
            Name = "PostgreSQL",
            Command = _runAs.Run(PostgresInstallation.Program(BinDirectory, "postgres")!, "-D", DataDirectory),
            WorkingDirectory = _directory.Path,
            OnLine = _options.OnLog,
        });
        try
        {
            await ReadyAsync(cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await _process.KillAsync().ConfigureAwait(false);
            throw;
        }
    }

    private async Task ReadyAsync(CancellationToken cancellationToken)
    {
        var deadline = DateTime.UtcNow + TimeSpan.FromSeconds(60);
        while (true)
        {
            try
            {
                await ExecuteAsync("SELECT 1", cancellationToken: cancellationToken).ConfigureAwait(false);

                // The answer may be another server's, if ours lost the race for the port.
                if (_process.IsRunning)
                    return;
            }
            catch (Exception e) when (e is NpgsqlException or TimeoutException)
            {
                if (DateTime.UtcNow > deadline)
                    throw new ProvisioningException($"PostgreSQL did not answer within a minute: {e.Message}\n{string.Join('\n', LastLogLines)}", e);
            }

            if (!_process.IsRunning)
                throw new ProvisioningException($"PostgreSQL ended with exit code {await _process.Exited.ConfigureAwait(false)}:\n{string.Join('\n', LastLogLines)}");
            await Task.Delay(50, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task WriteSettingsAsync(CancellationToken cancellationToken)
    {
        var settings = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase)
        {
            ["listen_addresses"] = Host,
            ["port"] = Port.ToString(CultureInfo.InvariantCulture),
            ["unix_socket_directories"] = OperatingSystem.IsWindows() ? "" : SocketDirectory,
            ["fsync"] = "off",
            ["synchronous_commit"] = "off",
            ["full_page_writes"] = "off",
            ["logging_collector"] = "off",
            ["log_destination"] = "stderr",
        };
        foreach (var (name, value) in _options.Settings)
            settings[name] = value;

        var text = new StringBuilder();
        foreach (var (name, value) in settings)
            text.Append(CultureInfo.InvariantCulture, $"{name} = '{value.Replace("'", "''", StringComparison.Ordinal)}'\n");

        // Read after postgresql.conf, which includes it by its last line.
        await File.WriteAllTextAsync(Path.Combine(DataDirectory, "throwaway.conf"), text.ToString(), cancellationToken).ConfigureAwait(false);
        var main = Path.Combine(DataDirectory, "postgresql.conf");
        var lines = await File.ReadAllTextAsync(main, cancellationToken).ConfigureAwait(false);
        const string Include = "\ninclude 'throwaway.conf'\n";
        if (!lines.EndsWith(Include, StringComparison.Ordinal))
            await File.AppendAllTextAsync(main, Include, cancellationToken).ConfigureAwait(false);
    }
}
