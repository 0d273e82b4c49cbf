using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry;
using Pooler.IntegrationTests.Process;
using Pooler.Server.Logging;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Logging;

/// <summary>Where log lines go, and what they look like there.</summary>
public sealed class LogWriterTests : IDisposable
{
    private readonly ThrowawayDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    private string LogFile => Path.Combine(_directory.Path, "pooler.log");

    [Fact]
    public void A_line_has_time_process_level_and_message_as_PgBouncers_has()
    {
        var lines = WriteLines(new PoolerSettings { LogFile = LogFile }, log => log.LogWarning("a {What} happened", "thing"));
        Assert.Matches($@"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} UTC \[{Environment.ProcessId}\] WARNING a thing happened$", Assert.Single(lines));
    }

    [Fact]
    public void Nobody_forges_a_line_by_control_characters_in_a_name()
    {
        var lines = WriteLines(new PoolerSettings { LogFile = LogFile }, log => log.LogInformation("login attempt: user={User}", "x\n2026-01-01 00:00:00.000 UTC [1] FATAL y\u001b[2J"));
        Assert.EndsWith("user=x 2026-01-01 00:00:00.000 UTC [1] FATAL y [2J", Assert.Single(lines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_is_copied_and_truncated_goes_on_without_a_hole()
    {
        using var writer = new LogWriter(new PoolerSettings { LogFile = LogFile }, null, TimeProvider.System);
        var log = writer.CreateLogger("test");
        log.LogInformation("before {Filler}", new string('x', 10_000));
        await Eventually.TrueAsync(() => new FileInfo(LogFile).Length > 10_000, cancellationToken: TestContext.Current.CancellationToken);
        using (var truncating = new FileStream(LogFile, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) truncating.SetLength(0);

        log.LogInformation("after");
        await Eventually.TrueAsync(() => new FileInfo(LogFile).Length > 0, cancellationToken: TestContext.Current.CancellationToken);
        writer.Dispose();
        Assert.EndsWith("LOG after\n", File.ReadAllText(LogFile), StringComparison.Ordinal);
        Assert.InRange(new FileInfo(LogFile).Length, 1, 200);
    }

    [Fact]
    public async Task A_renamed_file_is_left_for_a_new_one_when_the_settings_are_applied_again()
    {
        var settings = new PoolerSettings { LogFile = LogFile };
        using var writer = new LogWriter(settings, null, TimeProvider.System);
        var log = writer.CreateLogger("test");
        log.LogInformation("first");
        await Eventually.TrueAsync(() => new FileInfo(LogFile).Length > 0, cancellationToken: TestContext.Current.CancellationToken);
        File.Move(LogFile, LogFile + ".1");
        writer.Apply(settings);
        log.LogInformation("second");
        writer.Dispose();
        Assert.EndsWith("LOG first\n", File.ReadAllText(LogFile + ".1"), StringComparison.Ordinal);
        Assert.EndsWith("LOG second\n", File.ReadAllText(LogFile), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Syslog_gets_messages_with_facility_severity_name_and_process()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no syslog");
        var path = Path.Combine(_directory.Path, "log");
        using var daemon = Daemon(path);
        var settings = new PoolerSettings { Syslog = true, Verbose = 3, LogFile = LogFile };
        using var writer = new LogWriter(settings, null, TimeProvider.System, path);
        var log = writer.CreateLogger("test");

        log.LogDebug("kept away");
        log.LogInformation("{Connection} login attempt: db=d", new ConnectionName(false, 1, "d", "u", "127.0.0.1", 4000));
        Assert.Matches(
            $@"^<30>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d pgbouncer\[{Environment.ProcessId}\]: C-0x[0-9a-f]+: d/u@127\.0\.0\.1:4000 login attempt: db=d$",
            await ReceiveAsync(daemon));

        writer.Apply(settings with { SyslogFacility = "local3", SyslogIdent = "pool" });
        log.LogError("bad");
        Assert.Matches($@"^<155>.{{15}} pool\[{Environment.ProcessId}\]: bad$", await ReceiveAsync(daemon));

        writer.Apply(settings with { Syslog = false });
        log.LogError("not for syslog");
        await Eventually.TrueAsync(() => File.ReadAllText(LogFile).Contains("not for syslog", StringComparison.Ordinal), cancellationToken: TestContext.Current.CancellationToken);
        writer.Apply(settings);
        log.LogCritical("very bad");
        Assert.Matches(@"^<26>.*: very bad$", await ReceiveAsync(daemon));
    }

    [Fact]
    public async Task A_log_daemon_that_was_restarted_is_found_again()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no syslog");
        var path = Path.Combine(_directory.Path, "log");
        using var writer = new LogWriter(new PoolerSettings { Syslog = true }, null, TimeProvider.System, path);
        var log = writer.CreateLogger("test");
        log.LogInformation("nobody is there yet");
        using (var first = Daemon(path))
        {
            await Eventually.TrueAsync(() =>
            {
                log.LogInformation("one");
                return first.Available > 0;
            }, cancellationToken: TestContext.Current.CancellationToken);
        }

        File.Delete(path);
        using var second = Daemon(path);
        log.LogInformation("two");
        string message;
        do message = await ReceiveAsync(second);
        while (message.EndsWith(": one", StringComparison.Ordinal));
        Assert.EndsWith(": two", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Json_tells_the_parts_of_a_message_apart()
    {
        var lines = WriteLines(new PoolerSettings { LogFile = LogFile, LogFormat = "json" }, log =>
        {
            log.Log(
                LogLevel.Information, new EventId(2, "client_closing"), "{Connection} closing because: {Reason} (age={Age}s)",
                new ConnectionName(false, 7, "shop", "Ü\"ser", "::1", 4000), "client close request", 12L);
            log.LogError(new InvalidOperationException("broken\nin two"), "it failed");
        });
        Assert.Equal(2, lines.Length);

        var closing = JsonDocument.Parse(lines[0]).RootElement;
        Assert.True(closing.GetProperty("timestamp").TryGetDateTimeOffset(out _));
        Assert.Equal("info", closing.GetProperty("level").GetString());
        Assert.Equal(Environment.ProcessId, closing.GetProperty("pid").GetInt32());
        Assert.Equal("closing because: client close request (age=12s)", closing.GetProperty("message").GetString());
        Assert.Equal("C-0xc00000007", closing.GetProperty("connection").GetString());
        Assert.Equal("shop", closing.GetProperty("database").GetString());
        Assert.Equal("Ü\"ser", closing.GetProperty("user").GetString());
        Assert.Equal("::1", closing.GetProperty("address").GetString());
        Assert.Equal(4000, closing.GetProperty("port").GetInt32());
        Assert.Equal("client close request", closing.GetProperty("reason").GetString());
        Assert.Equal(12, closing.GetProperty("age").GetInt64());

        var failure = JsonDocument.Parse(lines[1]).RootElement;
        Assert.Equal("error", failure.GetProperty("level").GetString());
        Assert.Equal("System.InvalidOperationException", failure.GetProperty("exception").GetString());
    }

    [Fact]
    public void Systemds_journal_gets_the_level_and_the_bare_message()
    {
        using var text = new StringWriter();
        using (var writer = new LogWriter(new PoolerSettings(), new LogConsole(text, isJournal: true), TimeProvider.System))
            writer.CreateLogger("test").LogWarning("careful");
        Assert.Equal("<4>careful\n", text.ToString());
    }

    private string[] WriteLines(PoolerSettings settings, Action<ILogger> write)
    {
        using (var writer = new LogWriter(settings, null, TimeProvider.System)) write(writer.CreateLogger("test"));
        return File.ReadAllLines(LogFile);
    }

    private static Socket Daemon(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        return socket;
    }

    private static async Task<string> ReceiveAsync(Socket socket)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        var buffer = new byte[4096];
        return Encoding.UTF8.GetString(buffer, 0, await socket.ReceiveAsync(buffer, limit.Token));
    }
}
