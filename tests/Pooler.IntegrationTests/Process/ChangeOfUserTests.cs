using Pooler.Server.Unix;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Process;

/// <summary>Started as root with <c>user</c>: whose rights are used for what, and what is left of root.</summary>
public sealed class ChangeOfUserTests : IDisposable
{
    private const string User = "nobody";

    private readonly ThrowawayDirectory _directory = new();

    public ChangeOfUserTests()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess && OperatingSystem.IsLinux(), "only root changes its user");
        GiveToUser(_directory.Path);
    }

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task An_unknown_Unix_user_is_refused()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess && !OperatingSystem.IsWindows(), "only root changes its user");
        _directory.Write("pooler.ini", StartTests.Ini(""));
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, ["-u", "nobody-of-that-name", "pooler.ini"]);
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.Contains("could not find user 'nobody-of-that-name' to switch to", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Root_gives_up_its_rights_for_those_of_the_named_user()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess && OperatingSystem.IsLinux(), "only root changes its user");
        _directory.Write("pooler.ini", StartTests.Ini(""));
        await using var pooler = PoolerProgram.Start(_directory.Path, ["--user=nobody", "pooler.ini"]);
        await pooler.LineAsync("running as user nobody");
        await pooler.UpAsync();
        foreach (var thread in Directory.GetDirectories($"/proc/{pooler.Id}/task"))
        {
            var ids = File.ReadLines(Path.Combine(thread, "status")).Where(l => l.StartsWith("Uid:", StringComparison.Ordinal) || l.StartsWith("Gid:", StringComparison.Ordinal));
            Assert.All(ids, l => Assert.DoesNotContain("0", l.Split('\t')[1..]));
        }
    }

    [Theory]
    [InlineData("logfile", "Cannot open logfile: '")]
    [InlineData("pidfile", "Access to the path '")]
    public async Task A_link_that_the_user_has_put_in_the_place_of_a_file_opens_nothing_of_roots(string setting, string complaint)
    {
        var secret = _directory.Write("secret", "root's");
        File.SetUnixFileMode(secret, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        var link = Path.Combine(_directory.Path, "link");
        File.CreateSymbolicLink(link, secret);
        _directory.Write("pooler.ini", StartTests.Ini($"user = {User}\n{setting} = {link}"));

        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, ["pooler.ini"]);
        Assert.Equal(1, exitCode);
        var line = Assert.Single(lines, l => l.Contains(complaint, StringComparison.Ordinal));
        Assert.Contains(" FATAL ", line);
        Assert.Contains("denied", line);
        Assert.Equal("root's", await File.ReadAllTextAsync(secret, TestContext.Current.CancellationToken));
        Assert.Equal("root", await OwnerAsync(secret));
    }

    [Fact]
    public async Task Log_pidfile_and_socket_are_the_users()
    {
        var port = PoolerProgram.FreePort();
        _directory.Write(
            "pooler.ini",
            StartTests.Ini($"user = {User}\nlogfile = pooler.log\npidfile = pooler.pid")
                .Replace("listen_port = 0\nunix_socket_dir =", $"listen_port = {port}\nunix_socket_dir = {_directory.Path}", StringComparison.Ordinal));
        await using var pooler = PoolerProgram.Start(_directory.Path, ["pooler.ini"]);
        await pooler.UpAsync();
        var names = new[] { "pooler.log", "pooler.pid", $".s.PGSQL.{port}" };
        foreach (var name in names) Assert.Equal(User, await OwnerAsync(Path.Combine(_directory.Path, name)));

        pooler.Signal(SignalTests.Quit);
        Assert.Equal(0, await pooler.ExitAsync());
        Assert.Equal(["pooler.log"], names.Where(name => File.Exists(Path.Combine(_directory.Path, name))));
    }

    [Fact]
    public async Task A_key_that_only_root_may_read_is_read_before()
    {
        var certificate = new TestCertificates().Issue("localhost");
        var key = _directory.Write("key.pem", certificate.KeyPem);
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        _directory.Write(
            "pooler.ini",
            StartTests.Ini($"client_tls_sslmode = require\nclient_tls_key_file = {key}\nclient_tls_cert_file = {_directory.Write("cert.pem", certificate.Pem)}"));
        await using var pooler = PoolerProgram.Start(_directory.Path, ["-u", User, "pooler.ini"]);
        await pooler.UpAsync();
    }

    [Fact]
    public async Task The_working_directory_may_be_out_of_the_users_reach()
    {
        using var closed = new ThrowawayDirectory();
        var inside = Directory.CreateDirectory(Path.Combine(closed.Path, "inside")).FullName;
        await File.WriteAllTextAsync(Path.Combine(inside, "pooler.ini"), StartTests.Ini(""), TestContext.Current.CancellationToken);
        await using var pooler = PoolerProgram.Start(inside, ["-u", User, "pooler.ini"]);
        await pooler.UpAsync();
    }

    [Fact]
    public async Task A_group_that_the_user_is_not_in_is_refused_for_the_socket()
    {
        _directory.Write(
            "pooler.ini",
            StartTests.Ini($"user = {User}\nunix_socket_group = root")
                .Replace("listen_port = 0\nunix_socket_dir =", $"listen_port = {PoolerProgram.FreePort()}\nunix_socket_dir = {_directory.Path}", StringComparison.Ordinal));
        var (exitCode, _, lines) = await PoolerProgram.RunAsync(_directory.Path, ["pooler.ini"]);
        Assert.Equal(1, exitCode);
        Assert.Contains(lines, l => l.Contains("to group root: Operation not permitted (unix_socket_group)", StringComparison.Ordinal));
    }

    internal static void GiveToUser(string path)
    {
        var user = UnixUser.Find(User)!;
        Assert.Equal(0, LibC.ChangeOwner(path, user.UserId, user.GroupId));
    }

    private static async Task<string> OwnerAsync(string path)
    {
        await using var stat = PoolerProgram.StartProgram("/", "stat", ["-c", "%U", path]);
        Assert.Equal(0, await stat.ExitAsync());
        return Assert.Single(stat.Lines);
    }
}
