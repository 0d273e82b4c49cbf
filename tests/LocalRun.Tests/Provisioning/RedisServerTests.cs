using LocalRun.Processes;
using LocalRun.Provisioning;
using Xunit;

namespace LocalRun.Tests.Provisioning;

public class RedisServerTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_answers_those_who_know_the_password()
    {
        await using var server = await RedisServer.StartAsync(new() { Password = "se\"cret\\" }, Cancelled);

        Assert.True(await RedisServer.PingAsync(server.Host, server.Port, server.Password, Cancelled));
        Assert.False(await RedisServer.PingAsync(server.Host, server.Port, "wrong", Cancelled));
        Assert.False(await RedisServer.PingAsync(server.Host, server.Port, null, Cancelled));
    }

    [Fact]
    public async Task Its_command_line_does_not_hold_the_password()
    {
        await using var server = await RedisServer.StartAsync(cancellationToken: Cancelled);
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Reads /proc.");

        var commandLine = await File.ReadAllTextAsync($"/proc/{server.ProcessId}/cmdline", Cancelled);

        Assert.DoesNotContain(server.Password, commandLine, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nothing_survives_its_end()
    {
        var server = await RedisServer.StartAsync(cancellationToken: Cancelled);
        var process = server.ProcessId;

        await server.DisposeAsync();

        Assert.False(ProcessGroup.IsAlive(process));
        Assert.True(Ports.IsFree(server.Port));
    }
}
