using System.Net;
using System.Net.Sockets;
using System.Text;
using Pooler.IntegrationTests.Process;
using Xunit;

namespace Pooler.IntegrationTests.Operations;

/// <summary>The program's option <c>-R</c>: who ends, who has the pidfile, what the service manager hears.</summary>
public sealed class RestartedProgramTests : PoolerTest, IDisposable
{
    private readonly ThrowawayDirectory _directory = new();
    private readonly int _port = PoolerProgram.FreePort();
    private readonly int _httpPort = PoolerProgram.FreePort();

    public RestartedProgramTests(PostgresForPooler postgres) : base(postgres)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "-R works on Linux only");
        _directory.Write("pooler.ini", Ini(""));
    }

    private IPEndPoint EndPoint => new(IPAddress.Loopback, _port);

    private string PidFile => Path.Combine(_directory.Path, "pooler.pid");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task The_new_process_has_the_clients_the_pidfile_the_socket_and_the_http_port()
    {
        var database = await NewDatabaseAsync();
        await using var old = PoolerProgram.Start(_directory.Path, ["pooler.ini"]);
        await old.UpAsync();
        using var client = await RawClient.LoginAsync(EndPoint, database, PostgresForPooler.Trusted);
        await client.Query("BEGIN").AskAsync();

        await using var @new = PoolerProgram.Start(_directory.Path, ["-R", "pooler.ini"]);
        await @new.UpAsync();
        Assert.Equal(0, await old.ExitAsync());
        await @new.LineAsync($"took over 1 clients and 1 servers from process {old.Id}");

        Assert.Equal($"{@new.Id}", (await File.ReadAllTextAsync(PidFile, Cancelled)).Trim());
        Assert.Equal("C(COMMIT) Z(I)", await client.Query("COMMIT").AskAsync());
        using (var unix = await RawClient.LoginAsync(
            new UnixDomainSocketEndPoint(Path.Combine(_directory.Path, $".s.PGSQL.{_port}")), database, PostgresForPooler.Trusted))
            Assert.Equal("1", await unix.ScalarAsync("SELECT 1"));
        using (var http = new HttpClient())
            Assert.Equal(HttpStatusCode.OK, (await http.GetAsync($"http://127.0.0.1:{_httpPort}/alive", Cancelled)).StatusCode);

        client.Dispose();
        @new.Signal(SignalTests.Quit);
        Assert.Equal(0, await @new.ExitAsync());
        Assert.False(File.Exists(PidFile));
        Assert.False(File.Exists(Path.Combine(_directory.Path, $".s.PGSQL.{_port}")));
    }

    [Fact]
    public async Task The_service_manager_hears_which_process_is_the_main_one()
    {
        var name = $"@pooler-restart-{Guid.NewGuid():N}";
        using var notify = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        notify.Bind(new UnixDomainSocketEndPoint("\0" + name[1..]));
        await using var old = PoolerProgram.Start(_directory.Path, ["pooler.ini"], ("NOTIFY_SOCKET", name));
        await old.UpAsync();
        await using var @new = PoolerProgram.Start(_directory.Path, ["-R", "pooler.ini"], ("NOTIFY_SOCKET", name));
        await @new.UpAsync();
        Assert.Equal(0, await old.ExitAsync());

        var heard = new List<string>();
        var buffer = new byte[4096];
        while (!(heard.Any(h => h.StartsWith("MAINPID=", StringComparison.Ordinal)) && heard.Count(h => h.StartsWith("READY=1", StringComparison.Ordinal)) == 2))
        {
            var length = await notify.ReceiveAsync(buffer, Cancelled);
            heard.Add(Encoding.UTF8.GetString(buffer, 0, length));
        }
        Assert.Contains($"MAINPID={@new.Id}", heard);
        Assert.DoesNotContain(heard, h => h.StartsWith("STOPPING", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_a_running_process_it_starts_as_usual()
    {
        await using var pooler = PoolerProgram.Start(_directory.Path, ["--reboot", "pooler.ini"]);
        await pooler.UpAsync();
        await pooler.LineAsync("old process not found, try to continue normally");
        Assert.Equal($"{pooler.Id}", (await File.ReadAllTextAsync(PidFile, Cancelled)).Trim());
        pooler.Signal(SignalTests.Quit);
        Assert.Equal(0, await pooler.ExitAsync());
    }

    [Fact]
    public async Task A_process_of_another_user_is_not_believed()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root can run a process of another user");
        ChangeOfUserTests.GiveToUser(_directory.Path);
        await using var stranger = PoolerProgram.Start(_directory.Path, ["-u", "nobody", "pooler.ini"]);
        await stranger.UpAsync();
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, ["-R", "pooler.ini"]);
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.Contains("the process that listens on the Unix socket is run by user id ", StringComparison.Ordinal));
        Assert.Equal($"{stranger.Id}", (await File.ReadAllTextAsync(PidFile, Cancelled)).Trim());
    }

    [Theory]
    [InlineData("colour = blue", "unknown setting colour")]
    [InlineData("listen_addr = 192.0.2.1", "failed to listen on any address")]
    [InlineData("unix_socket_group = no-such-group", "could not find group 'no-such-group'")]
    public async Task A_new_process_that_cannot_start_ends_with_1_and_the_old_one_goes_on(string mistake, string complaint)
    {
        var database = await NewDatabaseAsync();
        await using var old = PoolerProgram.Start(_directory.Path, ["pooler.ini"]);
        await old.UpAsync();
        using var client = await RawClient.LoginAsync(EndPoint, database, PostgresForPooler.Trusted);

        _directory.Write("other.ini", Ini(mistake));
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, ["-R", "other.ini"]);
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.Contains(complaint, StringComparison.Ordinal));

        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        using var late = await RawClient.LoginAsync(EndPoint, database, PostgresForPooler.Trusted);
        Assert.Equal("1", await late.ScalarAsync("SELECT 1"));
        Assert.Equal($"{old.Id}", (await File.ReadAllTextAsync(PidFile, Cancelled)).Trim());
    }

    private string Ini(string more) =>
        $"""
        [databases]
        * = host={Postgres.Server.Host} port={Postgres.Server.Port}
        [users]
        {PostgresForPooler.Trusted} = password=unused
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {_port}
        unix_socket_dir = {_directory.Path}
        pidfile = {PidFile}
        auth_type = trust
        pool_mode = transaction
        http_port = {_httpPort}
        {more}

        """;
}
