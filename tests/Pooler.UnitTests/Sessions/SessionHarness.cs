using System.Buffers.Binary;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Pooler.Engine;
using Pooler.Engine.Configuration;
using Pooler.Engine.Hosts;
using Pooler.Engine.Protocol;

namespace Pooler.UnitTests.Sessions;

/// <summary>An engine whose clients and servers are played by the test, byte by byte.</summary>
internal sealed class SessionHarness
{
    public SessionHarness(
        Func<PoolerSettings, PoolerSettings>? change = null, Func<DatabaseSettings, DatabaseSettings>? database = null,
        INameResolver? resolver = null, int loops = 1, ILogger? log = null)
    {
        var target = new DatabaseSettings { Name = "db", Host = "127.0.0.1" };
        if (database is not null) target = database(target);
        var settings = new PoolerSettings { AuthType = AuthType.Trust, UnixSocketDir = "", DefaultPoolSize = 1, ServerTlsSslMode = SslMode.Disable };
        Loops = [.. Enumerable.Range(0, loops).Select(i => new ManualLoop(Clock, i))];
        Core = new EngineCore(new PoolerConfiguration
        {
            Settings = change?.Invoke(settings) ?? settings,
            Databases = new Dictionary<string, DatabaseSettings> { [target.Name] = target },
            Users = new Dictionary<string, UserSettings> { ["me"] = new() { Name = "me" } },
        }, Loops, log ?? NullLogger.Instance, Clock, resolver);
        Core.Start();
        Loop.Run();
    }

    public ManualClock Clock { get; } = new();

    public ManualLoop[] Loops { get; }

    public ManualLoop Loop => Loops[0];

    public EngineCore Core { get; }

    /// <summary>The server connection opened last.</summary>
    public ManualConnection Server => Loop.Begun[^1];

    public static byte[] Messages(Action<MessageWriter> write)
    {
        var writer = new MessageWriter();
        write(writer);
        return writer.Written.ToArray();
    }

    /// <summary>A client that has just been accepted.</summary>
    public ManualConnection Accept(ManualLoop? loop = null)
    {
        var connection = new ManualConnection(loop ?? Loop);
        connection.Handler = Core.Accept(connection);
        return connection;
    }

    /// <summary>A client that has logged in; a server logs in for the first one.</summary>
    public ManualConnection Login(params (string Name, string Value)[] parameters)
    {
        var client = Accept();
        client.Receive(Startup(parameters));
        Loop.Run();
        if (Loop.Begun.Count > 0 && Server.TakeSent().Length == 0 && client.TakeSent().Length == 0) WelcomeServer();
        client.TakeSent();
        return client;
    }

    public static byte[] Startup(params (string Name, string Value)[] parameters) => Messages(w => w.StartupMessage(
        "me", "db", parameters.Select(p => new KeyValuePair<string, string>(p.Name, p.Value))));

    /// <summary>The server that is connecting lets us in.</summary>
    public void WelcomeServer()
    {
        Server.Handler.OnConnected(Server);
        Server.TakeSent();
        Server.Receive(ServerWelcome);
        Loop.Run();
    }

    public static byte[] ServerWelcome { get; } = Messages(w =>
    {
        w.AuthenticationOk();
        w.ParameterStatus("TimeZone", "UTC");
        w.ParameterStatus("application_name", "pooler");
        w.BackendKeyData(77, [1, 2, 3, 4]);
        w.ReadyForQuery((byte)'I');
    });

    /// <summary>Messages in short form: their types, with what tells them apart.</summary>
    public static string Transcript(byte[] bytes)
    {
        var parts = new List<string>();
        for (var pos = 0; pos < bytes.Length;)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(pos + 1));
            var body = Encoding.UTF8.GetString(bytes, pos + 5, length - 4);
            parts.Add((char)bytes[pos] switch
            {
                'Z' => $"Z{body}",
                'E' when body.Length > 5 && body[0] == 'S' => "E" + body.Split('\0').First(f => f.StartsWith('C'))[1..],
                'Q' => $"Q({body.TrimEnd('\0')})",
                'P' => $"P({string.Join('|', body.Split('\0')[..2])})",
                'B' => $"B({string.Join('|', body.Split('\0')[..2])})",
                'D' or 'C' when body.StartsWith("Spooler_", StringComparison.Ordinal) => $"{(char)bytes[pos]}({body[1..].TrimEnd('\0')})",
                var type => type.ToString(),
            });
            pos += length + 1;
        }
        return string.Join(' ', parts);
    }
}
