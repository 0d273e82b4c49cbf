using System.Globalization;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>How to start a throwaway Redis.</summary>
public sealed class RedisServerOptions
{
    /// <summary>Password; a random one when null, none when empty.</summary>
    public string? Password { get; init; }

    /// <summary>TCP port on 127.0.0.1; a free one when null.</summary>
    public int? Port { get; init; }

    /// <summary>Called for each line of the server's log.</summary>
    public Action<string>? OnLog { get; init; }

    /// <summary>Told what is being done.</summary>
    public IProgress<string>? Progress { get; init; }
}

/// <summary>A throwaway Redis on its own port of 127.0.0.1, keeping nothing on disk. It ends with this object, or with this process, however that ends.</summary>
public sealed class RedisServer : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory;
    private readonly RedisInstallation _installation;
    private readonly RedisServerOptions _options;
    private ChildProcess _process = null!;

    private RedisServer(TemporaryDirectory directory, RedisInstallation installation, RedisServerOptions options)
    {
        _directory = directory;
        _installation = installation;
        _options = options;
        Password = options.Password ?? Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
        Port = options.Port ?? Ports.Take();
    }

    /// <summary>Always 127.0.0.1.</summary>
    public string Host => "127.0.0.1";

    /// <summary>TCP port.</summary>
    public int Port { get; private set; }

    /// <summary>Password; empty for none.</summary>
    public string Password { get; }

    /// <summary>A StackExchange.Redis connection string.</summary>
    public string ConnectionString => Password.Length > 0 ? $"{Host}:{Port},password={Password}" : $"{Host}:{Port}";

    /// <summary>Process id of the server.</summary>
    public int ProcessId => _process.Id;

    /// <summary>True for Redis and Valkey. Garnet, the last resort, has no streams.</summary>
    public bool HasStreams => !_installation.IsGarnet;

    /// <summary>The running server, for those who watch over it.</summary>
    internal ChildProcess Process => _process;

    /// <summary>Finds or installs Redis, starts it and waits until it answers.</summary>
    /// <exception cref="ProvisioningException">It could not be installed or started; the message has its log.</exception>
    public static async Task<RedisServer> StartAsync(RedisServerOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new RedisServerOptions();
        var installation = await RedisInstallation.LocateAsync(options.Progress, cancellationToken).ConfigureAwait(false);
        var server = new RedisServer(TemporaryDirectory.Create("pooler-redis-"), installation, options);
        try
        {
            // Somebody may take the port between our look and the server's bind; then another one is tried.
            for (var attempt = 1; ; attempt++)
            {
                try
                {
                    await server.LaunchAsync(cancellationToken).ConfigureAwait(false);
                    return server;
                }
                catch (ProvisioningException) when (options.Port is null && attempt < 3 && !Ports.IsFree(server.Port))
                {
                    server.Port = Ports.Take();
                }
            }
        }
        catch
        {
            if (server._process is not null)
                await server.DisposeAsync().ConfigureAwait(false);
            server._directory.Dispose();
            throw;
        }
    }

    /// <summary>Sends PING, after AUTH when there is a password.</summary>
    /// <returns>True when the server answered PONG.</returns>
    public static async Task<bool> PingAsync(string host, int port, string? password, CancellationToken cancellationToken)
    {
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync(host, port, cancellationToken).ConfigureAwait(false);
            var stream = client.GetStream();
            var commands = password is { Length: > 0 }
                ? $"*2\r\n$4\r\nAUTH\r\n${Encoding.UTF8.GetByteCount(password)}\r\n{password}\r\n*1\r\n$4\r\nPING\r\n"
                : "*1\r\n$4\r\nPING\r\n";
            await stream.WriteAsync(Encoding.UTF8.GetBytes(commands), cancellationToken).ConfigureAwait(false);
            using var reader = new StreamReader(stream);
            while (await reader.ReadLineAsync(cancellationToken).ConfigureAwait(false) is { } line)
            {
                if (line != "+OK")
                    return line == "+PONG";
            }
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            // Not there (yet).
        }

        return false;
    }

    /// <summary>Stops the server; what it held is lost.</summary>
    public Task StopAsync() => _process.StopAsync(TimeSpan.FromSeconds(5));

    /// <summary>Starts a stopped server on the same port, empty.</summary>
    public Task StartAgainAsync(CancellationToken cancellationToken = default) =>
        _process.IsRunning ? throw new InvalidOperationException("The server is running.") : LaunchAsync(cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        await _process.DisposeAsync().ConfigureAwait(false);
        _directory.Dispose();
    }

    private async Task LaunchAsync(CancellationToken cancellationToken)
    {
        _options.Progress?.Report($"Starting {_installation.Name} on port {Port} …");
        if (_process is not null)
            await _process.DisposeAsync().ConfigureAwait(false);

        // A file in our private directory, because others can read command lines.
        var configuration = Path.Combine(_directory.Path, "server.conf");
        await File.WriteAllTextAsync(configuration, _installation.IsGarnet ? GarnetSettings() : RedisSettings(), cancellationToken).ConfigureAwait(false);
        _process = ChildProcess.Start(new ChildProcessOptions
        {
            Name = _installation.Name,
            Command = _installation.IsGarnet
                ? [_installation.Program, "--config-import-path", configuration]
                : [_installation.Program, configuration],
            Environment = _installation.Environment,
            WorkingDirectory = _directory.Path,
            OnLine = _options.OnLog,
        });

        var deadline = DateTime.UtcNow + TimeSpan.FromSeconds(30);
        while (!await PingAsync(Host, Port, Password, cancellationToken).ConfigureAwait(false) || !_process.IsRunning)
        {
            if (!_process.IsRunning || DateTime.UtcNow > deadline)
            {
                await _process.KillAsync().ConfigureAwait(false);
                throw new ProvisioningException($"{_installation.Name} did not start:\n{string.Join('\n', _process.LastLines)}");
            }

            await Task.Delay(25, cancellationToken).ConfigureAwait(false);
        }
    }

    private string RedisSettings()
    {
        var lines = new List<string>
        {
            $"bind {Host}",
            $"port {Port.ToString(CultureInfo.InvariantCulture)}",
            $"dir {_directory.Path}",
            "save \"\"",
            "appendonly no",
        };
        if (Password.Length > 0)
            lines.Add($"requirepass \"{Password.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"");
        return string.Join('\n', lines) + "\n";
    }

    private string GarnetSettings() => System.Text.Json.JsonSerializer.Serialize(new Dictionary<string, object>
    {
        ["Address"] = Host,
        ["Port"] = Port,
        ["AuthenticationMode"] = Password.Length > 0 ? "Password" : "NoAuth",
        ["Password"] = Password,
        ["EnableLua"] = true,
    });
}
