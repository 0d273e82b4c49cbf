using LocalRun.Processes;
using LocalRun.Provisioning;
using Xunit;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>psql as a person who logs in to the pooler.</summary>
internal static class Psql
{
    /// <summary>Runs one statement; the output is what it printed, or what it complained of.</summary>
    public static async Task<(bool Succeeded, string Output)> AskAsync(
        RunningPooler pooler, string database, string user, string? password, string sql = "SELECT current_user", string more = "")
    {
        var cancelled = TestContext.Current.CancellationToken;
        var conninfo = $"host=127.0.0.1 port={pooler.EndPoint.Port} dbname={database} user={user} connect_timeout=60 {more}";
        var command = new Command(await Tools.PsqlAsync(cancellationToken: cancelled), conninfo, "-X", "-w", "-t", "-A", "-c", sql);
        command.Environment["PGPASSWORD"] = password;
        var result = await command.RunAsync(cancelled);
        return result.ExitCode == 0 ? (true, result.Output.Trim()) : (false, result.Error.Trim());
    }
}
