using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.Engine.Handover;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Handover;

/// <summary>Taking over from a PgBouncer, which is played by the test: its console says what PgBouncer's says.</summary>
public sealed class PgBouncerHandoverTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("takeover").FullName;
    private readonly Socket _console = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly Socket _listening = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Socket _client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Socket _accepted;
    private readonly Socket _postgres = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Socket _server = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Socket _backend;

    public PgBouncerHandoverTests()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "descriptors are passed on Linux only");
        _listening.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listening.Listen();
        _console.Bind(UnixAddress.Of(_directory, Port));
        _console.Listen();
        _client.Connect(_listening.LocalEndPoint!);
        _accepted = _listening.Accept();
        _postgres.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _postgres.Listen();
        _server.Connect(_postgres.LocalEndPoint!);
        _backend = _postgres.Accept();
        foreach (var socket in new[] { _client, _backend }) socket.ReceiveTimeout = Patience;
    }

    /// <summary>Milliseconds; only a failing test needs them.</summary>
    private const int Patience = 30_000;

    private int Port => ((IPEndPoint)_listening.LocalEndPoint!).Port;

    public void Dispose()
    {
        _client.Dispose();
        _console.Dispose();
        _listening.Dispose();
        _accepted.Dispose();
        _postgres.Dispose();
        _server.Dispose();
        _backend.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Its_clients_and_sockets_are_served_on_and_it_is_ended()
    {
        var pgBouncer = Task.Run(() => Play(refuses: false), TestContext.Current.CancellationToken);
        await using var engine = NewEngine();
        engine.Start(Predecessor.Find(engine.Configuration.Settings));
        Assert.Equal(["SUSPEND;", "SHOW FDS;", "SHUTDOWN;"], await pgBouncer);

        Assert.Equal(1, engine.Snapshot().Clients);
        Assert.Contains(engine.ListenEndPoints, e => e.Equals(_listening.LocalEndPoint));
        var client = Assert.Single(engine.Core.Clients);
        Assert.Equal(("shop", "app", "10.1.2.3", 4711), (client.Pool.Database.Name, client.Identity.LoginUser.Name, client.Identity.Address, client.Identity.Port));
        Assert.Equal("Asia/Tokyo", client.Parameters["TimeZone"]);
        Assert.True(client.Identity.CancelKey.Matches([0, 0, 0, 0, 0, 0, 0x30, 0x39]));

        // It is served: what is no request is answered.
        _client.Send("?\0\0\0\x04"u8);
        var buffer = new byte[1024];
        Assert.Equal((byte)'E', buffer[.._client.Receive(buffer)][0]);
    }

    [Fact]
    public async Task New_clients_get_in_although_nobody_knows_what_its_servers_told_at_their_login()
    {
        await using var engine = await TakeOverWithServerAsync();
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = Patience };
        client.Connect(_listening.LocalEndPoint!);
        var writer = new MessageWriter();
        writer.StartupMessage("app", "shop", []);
        client.Send(writer.Written);

        // A server of our own tells.
        Assert.True(_postgres.Poll(TimeSpan.FromMilliseconds(Patience), SelectMode.SelectRead));
        using var backend = _postgres.Accept();
        backend.ReceiveTimeout = Patience;
        backend.Receive(new byte[1024]);
        Say(backend, w =>
        {
            w.AuthenticationOk();
            w.BackendKeyData(77, [1, 2, 3, 4]);
            w.ReadyForQuery((byte)'I');
        });
        var buffer = new byte[1024];
        Assert.Equal((byte)'R', buffer[..client.Receive(buffer)][0]);
    }

    [Fact]
    public async Task A_server_whose_client_leaves_is_closed_as_a_query_may_be_running_on_it()
    {
        await using var engine = await TakeOverWithServerAsync();
        _client.Shutdown(SocketShutdown.Both);
        // Terminate and not ROLLBACK: the ReadyForQuery that comes may be that of the query before.
        var buffer = new byte[1024];
        Assert.Equal("X\0\0\0\x04", Encoding.UTF8.GetString(buffer, 0, _backend.Receive(buffer)));
        Assert.Equal(0, _backend.Receive(buffer));
    }

    private async Task<PoolerEngine> TakeOverWithServerAsync()
    {
        var pgBouncer = Task.Run(() => Play(refuses: false, linked: true), TestContext.Current.CancellationToken);
        var engine = NewEngine();
        engine.Start(Predecessor.Find(engine.Configuration.Settings));
        await pgBouncer;
        foreach (var socket in new[] { _accepted, _server }) socket.Dispose();
        return engine;
    }

    [Fact]
    public async Task One_that_refuses_is_left_alone()
    {
        var pgBouncer = Task.Run(() => Play(refuses: true), TestContext.Current.CancellationToken);
        await using var engine = NewEngine();
        var refused = Assert.Throws<PoolerStartException>(() => Predecessor.Find(engine.Configuration.Settings));
        Assert.Contains("already suspended/paused", refused.Message);
        Assert.Equal(["SUSPEND;"], await pgBouncer);
    }

    private PoolerEngine NewEngine() => new(
        new PoolerConfiguration
        {
            Settings = new PoolerSettings
            {
                ListenAddr = "127.0.0.1", ListenPort = Port, UnixSocketDir = _directory, AuthType = AuthType.Trust, IoBackend = "epoll", EventLoops = 1,
                ServerTlsSslMode = SslMode.Disable,
            },
            Databases = new Dictionary<string, DatabaseSettings> { ["shop"] = new() { Name = "shop", Host = "127.0.0.1", Port = ((IPEndPoint)_postgres.LocalEndPoint!).Port } },
            Users = new Dictionary<string, UserSettings> { ["app"] = new() { Name = "app" } },
        },
        new EngineOptions { LoggerFactory = NullLoggerFactory.Instance });

    private void SendRows(Socket console, bool linked)
    {
        Say(console, w => w.RowDescription(
        [
            .. new[] { "fd", "task", "user", "database", "addr", "port", "cancel", "link", "client_encoding", "std_strings", "datestyle", "timezone", "password" }
                .Select(name => new ColumnDescription(name, 25, -1)),
        ]));
        SendRow(console, _console, "5", "pooler", null, null, "unix", $"{Port}", "0", "0", null, null, null, null, null);
        SendRow(console, _listening, "6", "pooler", null, null, "127.0.0.1", $"{Port}", "0", "0", null, null, null, null, null);
        SendRow(console, _accepted, "7", "client", "app", "shop", "10.1.2.3", "4711", "12345", linked ? "8" : "0", "UTF8", "on", "ISO, MDY", "Asia/Tokyo", null);
        if (linked) SendRow(console, _server, "8", "server", "app", "shop", "127.0.0.1", "5432", "0", "7", "UTF8", "on", "ISO, MDY", "Asia/Tokyo", null);
        Say(console, w => w.ReadyForQuery((byte)'I'));
    }

    /// <summary>The console of a PgBouncer up to the end of its client; the commands that it knew.</summary>
    private List<string> Play(bool refuses, bool linked = false)
    {
        using var console = _console.Accept();
        var commands = new List<string>();
        var buffer = new byte[1024];
        console.Receive(buffer);
        Say(console, w =>
        {
            w.AuthenticationOk();
            w.ReadyForQuery((byte)'I');
        });
        while (console.Receive(buffer) is > 5 and var length)
        {
            var command = Encoding.UTF8.GetString(buffer, 5, length - 6);
            if (command == Predecessor.ConsoleCommand)
            {
                Say(console, w =>
                {
                    PgError.Error("08P01", $"invalid command '{command}', use SHOW HELP;").WriteTo(w);
                    w.ReadyForQuery((byte)'I');
                });
                continue;
            }
            commands.Add(command);
            if (command == "SHUTDOWN;") break;
            if (refuses) Say(console, w => PgError.Error("08P01", "already suspended/paused").WriteTo(w));
            else if (command == "SHOW FDS;") SendRows(console, linked);
            else Say(console, w => w.ReadyForQuery((byte)'I'));
        }
        return commands;
    }

    private static void SendRow(Socket console, Socket passed, params string?[] cells)
    {
        var writer = new MessageWriter();
        writer.BeginDataRow(cells.Length);
        foreach (var cell in cells) writer.Cell(cell);
        writer.End();
        Libc.SendWithDescriptors(
            (int)console.SafeHandle.DangerousGetHandle(), writer.Written, [(int)passed.SafeHandle.DangerousGetHandle()]);
    }

    private static void Say(Socket console, Action<MessageWriter> write)
    {
        var writer = new MessageWriter();
        write(writer);
        console.Send(writer.Written);
    }
}
