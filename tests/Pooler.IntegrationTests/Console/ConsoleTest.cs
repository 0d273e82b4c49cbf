using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.IntegrationTests.Console;

/// <summary>What the tests of the console share.</summary>
public abstract class ConsoleTest(PostgresForPooler postgres) : PoolerTest(postgres)
{
    internal RunningPooler Start(Variant? variant = null, Func<PoolerSettings, PoolerSettings>? change = null) =>
        RunningPooler.Start(Postgres, variant ?? AnyVariant, s => (change?.Invoke(s) ?? s) with { AdminUsers = PostgresForPooler.Trusted });

    internal static Task<RawClient> ConsoleAsync(RunningPooler pooler, params (string, string)[] parameters) =>
        pooler.LoginAsync("pgbouncer", parameters);

    internal static async Task<string> ErrorAsync(RawClient console, string command)
    {
        await console.Query(command).SendAsync();
        return Assert.Single(await console.ReadToReadyAsync(), m => m.Type == 'E').Field('M');
    }
}
