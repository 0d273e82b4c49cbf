using System.Globalization;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Sockets;

/// <summary>The tcp_ settings, as the kernel tells of them in /proc/net/tcp.</summary>
public sealed class SocketOptionTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private const string NoTimer = "00", KeepaliveTimer = "02";

    [Theory, MemberData(nameof(Backends))]
    public async Task Changed_settings_hold_for_the_next_client_and_the_next_server(Variant variant)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads /proc");
        var database = await NewDatabaseAsync();
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(
            Postgres, variant, s => s with { TcpKeepalive = false, AdminUsers = PostgresForPooler.Trusted }));
        using var console = await RawClient.LoginAsync(pooler.EndPoint, "pgbouncer", PostgresForPooler.Trusted);

        await SeeAsync(NoTimer, long.MaxValue);

        await SetAsync("SET tcp_keepidle = 100");
        await SetAsync("SET tcp_keepalive = 1");
        await SeeAsync(KeepaliveTimer, 100);

        await SetAsync("SET tcp_keepidle = 3000");
        await SeeAsync(KeepaliveTimer, 3000);

        // Zero is the system's default again: two hours as a rule.
        await SetAsync("SET tcp_keepidle = 0");
        await SeeAsync(KeepaliveTimer, long.Parse(File.ReadAllText("/proc/sys/net/ipv4/tcp_keepalive_time"), CultureInfo.InvariantCulture));

        await SetAsync("SET tcp_keepalive = 0");
        await SeeAsync(NoTimer, long.MaxValue);

        async Task SetAsync(string command)
        {
            console.Query(command);
            await console.SendAsync();
            Assert.DoesNotContain(await console.ReadToReadyAsync(), m => m.Type == 'E');
        }

        // A new client, and a new server for it.
        async Task SeeAsync(string timer, long mostSeconds)
        {
            using var client = await pooler.LoginAsync(database);
            var port = int.Parse((await client.ScalarAsync("SELECT inet_client_port()"))!, CultureInfo.InvariantCulture);
            await Eventually.TrueAsync(() => Idle().Any(), cancellationToken: Cancelled);
            foreach (var (name, seconds) in Idle())
            {
                Assert.Equal(timer, name);
                Assert.InRange(seconds, timer == NoTimer ? 0 : mostSeconds / 2, mostSeconds);
            }
            await SetAsync("RECONNECT");
            await SetAsync("WAIT_CLOSE");

            // Both of our ends, when what was sent last has been acknowledged and its timer is gone.
            IEnumerable<(string Timer, long Seconds)> Idle()
            {
                var ends = Sockets().Where(s =>
                    (s.Local == pooler.EndPoint.Port && s.Remote == client.LocalPort) || (s.Local == port && s.Remote == Postgres.Server.Port)).ToArray();
                return ends.Length == 2 && ends.All(e => e.Timer is NoTimer or KeepaliveTimer) ? ends.Select(e => (e.Timer, e.Seconds)) : [];
            }
        }
    }

    [Fact]
    public async Task A_value_that_the_system_refuses_is_named_at_the_start_and_in_the_log_of_a_reload()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the limit is Linux'");
        PoolerConfiguration Configure(int keepIdle) => RunningPooler.Configuration(Postgres, AnyVariant, s => s with { TcpKeepidle = keepIdle });
        var error = Assert.Throws<Pooler.Engine.PoolerStartException>(() => RunningPooler.Start(Configure(1_000_000)));
        Assert.Contains("tcp_keepidle = 1000000: ", error.Message, StringComparison.Ordinal);

        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(Configure(0), log);
        pooler.Reload(_ => Configure(1_000_000));
        Assert.Contains(log.Lines, l => l.StartsWith("not in effect: tcp_keepidle = 1000000: ", StringComparison.Ordinal));
    }

    private static IEnumerable<(int Local, int Remote, string Timer, long Seconds)> Sockets()
    {
        foreach (var line in File.ReadLines("/proc/net/tcp").Skip(1))
        {
            // Addresses and ports in hexadecimal; the timer and the hundredths of a second until it is due (proc(5)).
            var fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            var timer = fields[5].Split(':');
            yield return (Port(fields[1]), Port(fields[2]), timer[0], Convert.ToInt64(timer[1], 16) / 100);
        }

        static int Port(string address) => Convert.ToInt32(address[(address.IndexOf(':') + 1)..], 16);
    }
}
