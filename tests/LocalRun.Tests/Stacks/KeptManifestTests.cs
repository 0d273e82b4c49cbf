using System.Text.RegularExpressions;
using LocalRun.Processes;
using LocalRun.Provisioning;
using Testing;
using Testing.Otlp;
using Xunit;

namespace LocalRun.Tests.Stacks;

/// <summary>The whole product, from the manifest that the repository keeps.</summary>
public sealed partial class KeptManifestTests
{
    private static readonly string Manifest = Path.Combine(Repository.Root, "aspire-manifest.json");

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_stack_comes_up_is_well_takes_load_and_goes_down()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Uses a shell.");
        await Tools.PsqlAsync(cancellationToken: Cancelled);
        await using var runner = await Runner.StartAndWaitAsync(Manifest);
        var instance = $"{runner.ProcessId}";
        var processes = runner.State.Services.Select(service => service.ProcessId).OfType<int>().ToList();

        var check = await Runner.RunAsync(Manifest, "--check", "--instance", instance);
        var load = await Runner.RunAsync(Manifest, "--load-test", "--instance", instance);

        Assert.Equal(["pooler", "postgres", "redis", "shop", "shop-pooled", "web", "worker"], runner.State.Services.Select(service => service.Name).Order());
        Assert.Equal(0, check.ExitCode);
        Assert.Contains("All 7 are healthy", check.Output, StringComparison.Ordinal);
        Assert.True(load.Succeeded, load.AllOutput);
        Assert.Matches(@"Success:\s+100/100", load.Output);
        Assert.Matches(@"Mean:\s+[\d.,]+ ms", load.Output);
        Assert.Matches(@"99th percentile:\s+[\d.,]+ ms", load.Output);

        // The very lines that the program tells people to type.
        Assert.Matches(@"(?m)^shop\|postgres\|", await PsqlAsync(runner, "admin console", "SHOW POOLS"));
        Assert.Equal("1", (await PsqlAsync(runner, "shop-pooled", "SELECT 1")).Trim());
        Assert.Equal("200", (await PsqlAsync(runner, "shop", "SHOW max_connections")).Trim());

        runner.Signal(runner.Ignores(ProcessGroup.SignalInterrupt) ? ProcessGroup.SignalTerminate : ProcessGroup.SignalInterrupt);
        Assert.Equal(0, await runner.Exited);
        Assert.DoesNotContain(processes, ProcessGroup.IsAlive);
    }

    [Fact]
    public async Task Without_the_pool_the_same_services_take_the_same_load_and_tell_of_it()
    {
        await using var collector = await OtlpReceiver.StartAsync();
        var load = await Runner.RunAsync(Manifest, collector.Environment(OtlpReceiver.Http), "--direct", "--load-test");

        Assert.True(load.Succeeded, load.AllOutput);
        Assert.Matches(@"Success:\s+100/100", load.Output);
        Assert.DoesNotContain("pooler", load.Output, StringComparison.Ordinal);
        Assert.Contains("Stopping web", load.Output, StringComparison.Ordinal);

        // Services send what is left when they stop.
        Assert.DoesNotContain(collector.Spans, span => span.Source.Service == "pooler");
        var requests = collector.Spans.Where(span => span is { Source.Service: "web", Name: "POST /api/public/auth/" }).ToList();
        Assert.Equal(100, requests.Count);
        Assert.All(requests, request => Assert.Contains(collector.Spans, span => span.ParentId == request.Id && span.Source.Scope == "Npgsql"));
    }

    private static async Task<string> PsqlAsync(Runner runner, string name, string sql)
    {
        var line = HintedCommand().Matches(runner.Output).Single(match => match.Groups["name"].Value.Trim() == name).Groups["line"].Value;
        return await new Command("/bin/sh", "-c", $"{line} -At -c '{sql}'").RunCheckedAsync(Cancelled);
    }

    [GeneratedRegex(@"^  (?<name>[\w -]+?) +(?<line>PGPASSFILE=\S+ psql -h \S+ -p \d+ -U \S+ \S+)", RegexOptions.Multiline)]
    private static partial Regex HintedCommand();
}
