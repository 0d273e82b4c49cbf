using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>What the tests of attacks share: a pooler with honest and hostile databases, and those who must not notice.</summary>
public abstract class RefusalTest(PostgresForPooler postgres) : PoolerTest(postgres)
{
    /// <summary>The database whose server is a <see cref="HostileServer"/>.</summary>
    protected const string HostileDatabase = "hostile";

    /// <summary>A pooler in front of PostgreSQL and, as <see cref="HostileDatabase"/>, of a hostile server.</summary>
    internal RunningPooler Start(
        Variant variant, HostileServer? hostile = null, Func<PoolerSettings, PoolerSettings>? change = null, ILoggerFactory? log = null,
        Func<PoolerConfiguration, PoolerConfiguration>? configure = null)
    {
        var configuration = RunningPooler.Configuration(Postgres, variant, s =>
        {
            var settings = s with { ServerTlsSslMode = SslMode.Disable, ServerLoginRetry = TimeSpan.Zero };
            return change?.Invoke(settings) ?? settings;
        });
        if (hostile is not null)
        {
            configuration = configuration with
            {
                Databases = new Dictionary<string, DatabaseSettings>(configuration.Databases) { [HostileDatabase] = hostile.Database(HostileDatabase) },
            };
        }
        return RunningPooler.Start(configure?.Invoke(configuration) ?? configuration, log);
    }

    /// <summary>Somebody who is logged in while others attack.</summary>
    internal async Task<Bystander> BystanderAsync(RunningPooler pooler)
    {
        var database = await NewDatabaseAsync();
        return new Bystander(pooler, database, await pooler.LoginAsync(database));
    }

    /// <summary>What no state allows: an exception where bytes should have been judged.</summary>
    internal static void AssertNothingBroke(RecordingLog log) =>
        Assert.DoesNotContain(log.Lines, line => line.Contains("handler failed") || line.Contains("timer failed"));

    /// <summary>Takes what comes, whatever it is, to its end.</summary>
    internal static async Task DrainAsync(RawClient client)
    {
        try
        {
            while (true) await client.ReadByteAsync();
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // That was it.
        }
    }

    /// <summary>That the conversation ends with an error, in a message or at the end of the stream at the latest.</summary>
    internal static async Task<RawMessage> RefusalAsync(RawClient client)
    {
        var messages = await client.ReadToEndAsync();
        Assert.True(messages.LastOrDefault()?.Type == 'E', $"not refused: {RawClient.Transcript(messages)}");
        var error = messages[^1];
        Assert.Equal("FATAL", error.Field('S'));
        Assert.Equal(5, error.Field('C').Length);
        return error;
    }
}

/// <summary>A client that an attack on others must not concern.</summary>
internal sealed class Bystander(RunningPooler pooler, string database, RawClient client) : IDisposable
{
    private static int _questions;

    public string Database => database;

    public RawClient Client => client;

    /// <summary>It is still served, and so is a newcomer, each with the answer to its own question.</summary>
    public async Task AssertServedAsync()
    {
        await AssertServedAsync(client);
        using var newcomer = await pooler.LoginAsync(database);
        await AssertServedAsync(newcomer);
    }

    /// <summary>Asks and asks, until it is told to stop.</summary>
    public async Task AskUntilAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested) await AssertServedAsync(client);
    }

    public void Dispose() => client.Dispose();

    private static async Task AssertServedAsync(RawClient asking)
    {
        var question = $"{Interlocked.Increment(ref _questions)}";
        Assert.Equal($"T D({question}) C(SELECT 1) Z(I)", await asking.Query($"SELECT {question}").AskAsync());
    }
}
