using LocalRun.Provisioning;
using Pooler.IntegrationTests.Process;
using Pooler.IntegrationTests.Tls;
using Xunit;

namespace Pooler.IntegrationTests.DropIn;

/// <summary>
/// The program is put in PgBouncer's place: first PgBouncer and then the pooler run with the same files, the same is done
/// to both, and what came of it is compared.
/// </summary>
[Collection(TlsCollection.Name)]
public sealed class DropInTests(TlsPostgres postgres)
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_deployment_of_PgBouncer_behaves_the_same_with_the_pooler_in_its_place()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "compares with Debian's PgBouncer");
        using var deployment = await Deployment.CreateAsync(postgres, Cancelled);
        var theirs = await ObserveAsync(deployment, await Tools.PgBouncerAsync(cancellationToken: Cancelled));
        var ours = await ObserveAsync(deployment, PoolerProgram.Executable);
        Assert.True(theirs.All.Count(o => o.What.StartsWith("metric ", StringComparison.Ordinal)) > 100, "exporters see little");
        var differences = Differences.Between(theirs.All, ours.All);
        differences.AddRange(Differences.OutOfOrder(theirs.All, ours.All));
        Assert.True(differences.Count == 0, string.Join('\n', differences));
    }

    private async Task<Observations> ObserveAsync(Deployment deployment, string program)
    {
        await deployment.WriteAsync(Cancelled);
        var seen = new Observations(deployment, postgres.Server.Port);
        // PgBouncer refuses to run as root.
        string[] asUser = Environment.IsPrivilegedProcess ? ["-u", "nobody"] : [];
        await using var running = PoolerProgram.StartProgram(deployment.Directory, program, [.. asUser, deployment["pgbouncer.ini"]]);
        await running.UpAsync();
        try
        {
            await new Checks(deployment, running, seen, Cancelled).RunAsync();
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw new InvalidOperationException($"{program}:\n{seen}\n{string.Join('\n', running.Lines.TakeLast(60))}", e);
        }
        return seen;
    }
}
