using System.Text;
using System.Text.RegularExpressions;
using LocalRun.Provisioning;
using Pooler.IntegrationTests.Process;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Logging;

/// <summary>
/// The same things are done to PgBouncer and to the pooler, with the same configuration; then the lines of their logs are
/// compared. What reads PgBouncer's log goes on working as long as these tests do.
/// </summary>
public sealed partial class PgBouncerLogTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private const string User = PostgresForPooler.Trusted;
    private const int Hup = 1;

    private static readonly (int Usr1, int Usr2) UserSignals = (10, 12);

    /// <summary>Each ends with a line that both log last, or that nothing but its companions in the same moment follows.</summary>
    private static readonly Scenario[] Scenarios =
    [
        new("a query", "closing because: client close request", async pooler =>
        {
            using var client = await pooler.LoginAsync("d");
            await client.ScalarAsync("SELECT 1");
            await client.Terminate().SendAsync();
        }),
        new("a wrong password", "pooler error:", async pooler =>
        {
            await pooler.CommandAsync("SET auth_type = 'md5'");
            await pooler.FailAsync("d", User, "md5 of something else");
        }),
        new("an unknown user", "pooler error:", pooler => pooler.FailAsync("d", "nobody-of-that-name", "md5 of something")),
        new("an unknown database", "pooler error:", async pooler =>
        {
            await pooler.CommandAsync("SET auth_type = 'trust'");
            await pooler.FailAsync("unknown", User, null);
        }),
        new("a database that the server does not know", "pooler error:", pooler => pooler.FailAsync("missing", User, null)),
        new("too many clients", "closing because: client close request", async pooler =>
        {
            // Of the console, which is not counted by the one and is by the other, and this one.
            using var client = await pooler.LoginAsync("d");
            await pooler.CommandAsync("SET max_client_conn = 1");
            await pooler.FailAsync("d", User, null);
            await pooler.CommandAsync("SET max_client_conn = 100");
            await client.Terminate().SendAsync();
        }),
        new("a query that takes too long", "pooler error: query timeout", async pooler =>
        {
            await pooler.CommandAsync("SET query_timeout = 1");
            using var client = await pooler.LoginAsync("d");
            await client.Query("SELECT pg_sleep(60)").SendAsync();
            await client.ReadToEndAsync();
            await pooler.CommandAsync("SET query_timeout = 0");
        }),
        new("a transaction that does nothing", "pooler error: idle transaction timeout", async pooler =>
        {
            await pooler.CommandAsync("SET idle_transaction_timeout = 1");
            using var client = await pooler.LoginAsync("d");
            await client.Query("BEGIN").AskAsync();
            await client.ReadToEndAsync();
            await pooler.CommandAsync("SET idle_transaction_timeout = 0");
        }),
        new("a client that does nothing", "pooler error: client_idle_timeout", async pooler =>
        {
            await pooler.CommandAsync("SET client_idle_timeout = 1");
            using var client = await pooler.LoginAsync("d");
            await client.ReadToEndAsync();
            await pooler.CommandAsync("SET client_idle_timeout = 0");
        }),
        new("a server that does nothing", "closing because: server idle timeout", async pooler =>
        {
            using var client = await pooler.LoginAsync("d");
            await client.ScalarAsync("SELECT 1");
            await pooler.CommandAsync("SET server_idle_timeout = 1");
            await pooler.SeeAsync("closing because: server idle timeout");
            await pooler.CommandAsync("SET server_idle_timeout = 600");
            await client.Terminate().SendAsync();
            await pooler.SeeAsync("closing because: client close request");
        }),
        new("a client that waits too long", "closing because: client close request", async pooler =>
        {
            await pooler.CommandAsync("SET query_wait_timeout = 1");
            await pooler.CommandAsync("SET default_pool_size = 1");
            using var first = await pooler.LoginAsync("d");
            await first.Query("BEGIN").AskAsync();
            using var second = await pooler.LoginAsync("d");
            await second.Query("SELECT 1").SendAsync();
            await second.ReadToEndAsync();
            await first.Query("COMMIT").AskAsync();
            await first.Terminate().SendAsync();
            await pooler.CommandAsync("SET query_wait_timeout = 120");
            await pooler.CommandAsync("SET default_pool_size = 20");
        }),
        new("a server that is killed while idle", "closing because: server conn crashed?", async pooler =>
        {
            using var client = await pooler.LoginAsync("d");
            var server = await client.ScalarAsync("SELECT pg_backend_pid()");
            await client.Terminate().SendAsync();
            await pooler.SeeAsync("closing because: client close request");
            Assert.Equal(true, await pooler.OnServerAsync($"SELECT pg_terminate_backend({server})"));
        }),
        new("commands", "RESUME command issued", async pooler =>
        {
            using var client = await pooler.LoginAsync("d");
            foreach (var command in new[] { "PAUSE d", "RESUME d", "PAUSE", "RESUME", "DISABLE d", "ENABLE d", "RELOAD" })
            {
                await client.ScalarAsync("SELECT 1");
                await pooler.CommandAsync(command);
                if (command.StartsWith("PAUSE", StringComparison.Ordinal)) await pooler.SeeAsync("closing because: pause mode");
                if (command == "PAUSE d") await pooler.CommandAsync("RESUME d");
                if (command == "PAUSE") await pooler.CommandAsync("RESUME");
            }
        }),
        new("a database that is cut off", "closing because: database removed", async pooler =>
        {
            using var client = await pooler.LoginAsync("d");
            await client.ScalarAsync("SELECT 1");
            await pooler.CommandAsync("KILL d");
            await pooler.SeeAsync("S-PTR: d/trusted@127.0.0.1:SERVER closing because: database removed");
            await pooler.CommandAsync("RESUME d");
        }),
        new("signals", "got SIGUSR2, but not paused/suspended", async pooler =>
        {
            foreach (var (signal, line) in new[]
            {
                (Hup, "got SIGHUP, re-reading config"), (UserSignals.Usr1, "got SIGUSR1, pausing all activity"), (UserSignals.Usr1, "got SIGUSR1, but already paused/suspended"),
                (UserSignals.Usr2, "got SIGUSR2, continuing from PAUSE"), (UserSignals.Usr2, "got SIGUSR2, but not paused/suspended"),
            })
            {
                pooler.Program.Signal(signal);
                await pooler.SeeAsync(line);
            }
        }),
    ];

    [Fact]
    public async Task The_log_says_what_PgBouncers_says()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "compares with Debian's PgBouncer");
        var program = await Tools.PgBouncerAsync(cancellationToken: Cancelled);
        var database = await NewDatabaseAsync();
        using var directory = new ThrowawayDirectory();
        File.SetUnixFileMode(directory.Path, (UnixFileMode)0b111_101_101);
        directory.Write("users.txt", $"\"{User}\" \"password\"\n");

        // PgBouncer refuses to run as root.
        string[] asUser = Environment.IsPrivilegedProcess ? ["-u", "nobody"] : [];
        await using var theirs = await StartAsync(directory, "pgbouncer", program, asUser, database);
        await using var ours = await StartAsync(directory, "pooler", PoolerProgram.Executable, asUser, database);
        foreach (var scenario in Scenarios)
        {
            await Task.WhenAll(PlayAsync(theirs, scenario), PlayAsync(ours, scenario));
            // A server and its client end in the same moment: which line comes first is chance.
            Assert.True(
                theirs.Taken.Order(StringComparer.Ordinal).SequenceEqual(ours.Taken.Order(StringComparer.Ordinal)),
                $"{scenario.What}: PgBouncer logs\n{string.Join('\n', theirs.Taken)}\nthe pooler logs\n{string.Join('\n', ours.Taken)}");
        }
    }

    private async Task<Subject> StartAsync(ThrowawayDirectory directory, string name, string program, string[] arguments, string database)
    {
        var port = PoolerProgram.FreePort();
        directory.Write($"{name}.ini", $"""
            [databases]
            d = host=127.0.0.1 port={Postgres.Server.Port} dbname={database}
            missing = host=127.0.0.1 port={Postgres.Server.Port} dbname=no-such-database
            mark = host=127.0.0.1 port={Postgres.Server.Port}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = trust
            auth_file = {directory.Path}/users.txt
            admin_users = {User}
            pool_mode = transaction
            tcp_defer_accept = 0
            """);
        var running = PoolerProgram.StartProgram(directory.Path, program, [.. arguments, Path.Combine(directory.Path, $"{name}.ini")]);
        await running.UpAsync();
        var console = await RawClient.LoginAsync(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, port), "pgbouncer", User);
        return new Subject(running, port, Postgres, console);
    }

    private static async Task PlayAsync(Subject pooler, Scenario scenario)
    {
        pooler.Begin();
        await scenario.Play(pooler);
        await pooler.SeeAsync(scenario.LastLine);
        // What comes with it in the same moment is in the log before the answer to another command is.
        await pooler.CommandAsync("ENABLE mark");
        await pooler.SeeAsync("LOG ENABLE 'mark' command issued");
        pooler.Take();
    }

    private sealed record Scenario(string What, string LastLine, Func<Subject, Task> Play);

    /// <summary>One of the two poolers.</summary>
    private sealed partial class Subject(PoolerProgram program, int port, PostgresForPooler postgres, RawClient console) : IAsyncDisposable
    {
        private int _from;

        public PoolerProgram Program => program;

        /// <summary>The lines of the last scenario, without what differs from run to run.</summary>
        public IReadOnlyList<string> Taken { get; private set; } = [];

        private System.Net.IPEndPoint EndPoint => new(System.Net.IPAddress.Loopback, port);

        public void Begin() => _from = program.Lines.Length;

        public void Take() => Taken = [.. Lines().Where(l => !l.Contains("'mark'", StringComparison.Ordinal))];

        public Task<RawClient> LoginAsync(string database) => RawClient.LoginAsync(EndPoint, database, User);

        public async Task SeeAsync(string line)
        {
            try
            {
                await Eventually.TrueAsync(
                    () => Lines().Any(l => l.Contains(line, StringComparison.Ordinal)), TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
            }
            catch (TimeoutException e)
            {
                throw new TimeoutException($"\"{line}\" does not come:\n{string.Join('\n', program.Lines[_from..])}", e);
            }
        }

        public async Task CommandAsync(string command)
        {
            var answer = await console.Query(command).AskAsync();
            Assert.DoesNotContain("FATAL", answer);
        }

        public Task<object?> OnServerAsync(string sql) => postgres.Server.ExecuteAsync(sql, cancellationToken: TestContext.Current.CancellationToken);

        /// <summary>A login that is refused.</summary>
        public async Task FailAsync(string database, string user, string? password)
        {
            using var client = await RawClient.ConnectAsync(EndPoint);
            await client.Startup(database, user).SendAsync();
            if (password is not null)
            {
                await client.ReadToAsync('R');
                var text = Encoding.UTF8.GetBytes(password);
                await client.Bytes([(byte)'p', 0, 0, 0, (byte)(text.Length + 5), .. text, 0]).SendAsync();
            }
            Assert.Contains(await client.ReadToEndAsync(), m => m.Type == 'E');
        }

        public async ValueTask DisposeAsync()
        {
            console.Dispose();
            await program.DisposeAsync();
        }

        private IEnumerable<string> Lines()
        {
            foreach (var line in program.Lines[_from..])
            {
                var text = Normalize(line);
                // The console's own clients, and lines that only the pooler has: what a reload did, advice about settings.
                if (text.Contains(": pgbouncer/", StringComparison.Ordinal) || Ours().IsMatch(text)) continue;
                // 1.18 calls it "login failed", later ones by the server's words.
                if (text.Contains("S-PTR: missing/", StringComparison.Ordinal) && text.Contains("closing because", StringComparison.Ordinal)) continue;
                yield return text;
            }
        }

        private string Normalize(string line)
        {
            var text = Prefix().Replace(line, "");
            Assert.NotEqual(line, text);
            text = Pointer().Replace(text, "-PTR:").Replace($"127.0.0.1:{postgres.Server.Port}", "127.0.0.1:SERVER", StringComparison.Ordinal);
            return Ages().Replace(Ports().Replace(text, "127.0.0.1:PORT"), "(age=N)").Replace(" replication=no", "", StringComparison.Ordinal);
        }

        [GeneratedRegex(@"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [A-Z]+ \[\d+\] ")]
        private static partial Regex Prefix();

        [GeneratedRegex(@"(?<=[CS])-0x[0-9a-f]+:")]
        private static partial Regex Pointer();

        [GeneratedRegex(@"127\.0\.0\.1:\d+")]
        private static partial Regex Ports();

        [GeneratedRegex(@"\(age=\d+s\)")]
        private static partial Regex Ages();

        [GeneratedRegex(@"^(LOG (SET \w+ command issued|configuration reloaded|stats: .*)|WARNING \S+\.ini:\d+: .*|(WARNING|LOG) advice: .*)$")]
        private static partial Regex Ours();
    }
}
