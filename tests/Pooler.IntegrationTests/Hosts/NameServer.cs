using System.Net;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Process;
using Testing;

namespace Pooler.IntegrationTests.Hosts;

/// <summary>A dnsmasq that is the authority of pool.test, on a port of its own, which our resolv_conf can name.</summary>
internal sealed class NameServer : IAsyncDisposable
{
    private readonly ThrowawayDirectory _directory = new();
    private ChildProcess? _process;

    /// <summary>For resolv_conf.</summary>
    public string ResolvConf { get; private set; } = "";

    /// <summary>Starts it with lines of a hosts file.</summary>
    public static async Task<NameServer> StartAsync(CancellationToken cancellationToken, params string[] hosts)
    {
        var server = new NameServer();
        var program = await Tools.DnsmasqAsync(cancellationToken: cancellationToken);
        var port = Ports.Take();
        var file = server._directory.Write("hosts", string.Join('\n', hosts) + "\n");
        // dnsmasq gives up root's rights and reads the file again afterwards.
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(server._directory.Path, (UnixFileMode)0b111_101_101);
        server.ResolvConf = server._directory.Write("resolv.conf", $"nameserver 127.0.0.1:{port}\nsearch pool.test\noptions timeout:2\n");
        server._process = ChildProcess.Start(new ChildProcessOptions
        {
            Name = "dnsmasq",
            Command =
            [
                program, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", $"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces",
                "--no-resolv", "--no-hosts", $"--addn-hosts={file}", "--auth-server=ns.pool.test,127.0.0.1", "--auth-zone=pool.test", "--auth-soa=7",
                "--log-facility=-",
            ],
        });
        await Eventually.TrueAsync(() => IsAnswering(port), cancellationToken: cancellationToken);
        return server;
    }

    /// <summary>Other addresses. dnsmasq also raises the zone's serial.</summary>
    public async Task ChangeAsync(params string[] hosts)
    {
        _directory.Write("hosts", string.Join('\n', hosts) + "\n");
        await new Command("kill", "-HUP", _process!.Id.ToString()).RunCheckedAsync();
    }

    /// <summary>Settings of a pooler that asks it, and often.</summary>
    public PoolerSettings Settings(PoolerSettings settings) => settings with
    {
        ResolvConf = ResolvConf, DnsMaxTtl = TimeSpan.FromMilliseconds(200), DnsNxdomainTtl = TimeSpan.FromMilliseconds(200),
    };

    public async ValueTask DisposeAsync()
    {
        if (_process is not null) await _process.DisposeAsync();
        _directory.Dispose();
    }

    private static bool IsAnswering(int port)
    {
        try
        {
            using var socket = new System.Net.Sockets.TcpClient();
            socket.Connect(IPAddress.Loopback, port);
            return true;
        }
        catch (System.Net.Sockets.SocketException)
        {
            return false;
        }
    }
}
