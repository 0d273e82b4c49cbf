using LocalRun.Provisioning;
using Pooler.Engine.Configuration;

namespace Pooler.IntegrationTests.Replication;

/// <summary>What the tests of replication connections share.</summary>
public abstract class ReplicationTest(PostgresForPooler postgres, Publisher publisher) : PoolerTest(postgres)
{
    protected Publisher Publisher => publisher;

    protected Task<PostgresServer> PublisherAsync() => publisher.ServerAsync();

    protected Task<string> NewPublishedDatabaseAsync() => publisher.NewDatabaseAsync(Cancelled);

    /// <summary>An engine in front of the publisher.</summary>
    internal async Task<RunningPooler> StartAsync(Variant variant, Func<PoolerSettings, PoolerSettings>? change = null)
    {
        var server = await PublisherAsync();
        var configuration = RunningPooler.Configuration(
            Postgres, variant, s => (change?.Invoke(s) ?? s) with { AdminUsers = PostgresForPooler.Trusted },
            d => d with { Host = server.Host, Port = server.Port });
        var users = configuration.Users.ToDictionary();
        users[Publisher.Unprivileged] = new UserSettings { Name = Publisher.Unprivileged };
        users[server.User] = new UserSettings { Name = server.User, Secret = server.Password };
        return RunningPooler.Start(configuration with { Users = users });
    }

    /// <summary>Backends of the publisher that stream WAL or could.</summary>
    protected async Task<long> WalSendersAsync(string applicationName) => (long)(await (await PublisherAsync()).ExecuteAsync(
        $"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{applicationName}' AND backend_type = 'walsender'",
        cancellationToken: Cancelled))!;
}
