using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Npgsql;
using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry;
using Pooler.Engine.Telemetry.Metrics;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Telemetry;

/// <summary>What the engine counts, against a real PostgreSQL.</summary>
public sealed class MetricsTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory]
    [MemberData(nameof(BackendsAndLoops), MemberType = typeof(PoolerTest))]
    public async Task A_query_is_counted_with_the_time_that_it_took(Variant variant)
    {
        await using var pooler = RunningPooler.Start(Postgres, variant);
        var database = await NewDatabaseAsync();
        using var client = await pooler.LoginAsync(database);

        var watch = Stopwatch.StartNew();
        await client.Query("SELECT pg_sleep(0.2)").AskAsync();
        var atMost = watch.Elapsed.TotalMicroseconds;

        var queries = pooler.Pool(database).Queries;
        Assert.Equal(1, queries.Count);
        Assert.InRange(queries.Percentile(1), 200_000 * 15 / 16.0, atMost * 17 / 16);
        Assert.InRange(queries.Sum, 200_000, atMost);
        Assert.Equal(0, queries.CountUpTo(100_000));
        var transactions = pooler.Pool(database).Transactions;
        Assert.Equal((queries.Count, queries.Sum), (transactions.Count, transactions.Sum));
        Assert.Equal(queries.Sum, pooler.Pool(database).Totals.QueryTime);
    }

    [Theory]
    [MemberData(nameof(BackendsAndLoops), MemberType = typeof(PoolerTest))]
    public async Task Every_server_given_to_a_client_is_a_wait_and_most_take_no_time(Variant variant)
    {
        await using var pooler = RunningPooler.Start(Postgres, variant, s => s with { DefaultPoolSize = 1 });
        var database = await NewDatabaseAsync();
        using var holder = await pooler.LoginAsync(database);
        using var waiter = await pooler.LoginAsync(database);
        var loggedIn = pooler.Pool(database).Waits;
        for (var i = 0; i < 10; i++) await holder.ScalarAsync("SELECT 1");
        await holder.Query("BEGIN").AskAsync();
        var before = pooler.Pool(database).Waits - loggedIn;

        var watch = Stopwatch.StartNew();
        var waiting = waiter.ScalarAsync("SELECT 2");
        await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == 1, cancellationToken: Cancelled);
        await holder.ScalarAsync("SELECT pg_sleep(0.1)");
        await holder.Query("COMMIT").AskAsync();
        Assert.Equal("2", await waiting);
        var atMost = watch.Elapsed.TotalMicroseconds;

        // With several loops a server may have to be fetched from another: that counts as no wait, too.
        Assert.Equal((11, 0), (before.Count, before.Sum));
        var waits = pooler.Pool(database).Waits - loggedIn - before;
        Assert.Equal(1, waits.Count);
        Assert.InRange(waits.Sum, 100_000, atMost);
        Assert.Equal(pooler.Pool(database).Totals.ServerAssignments, before.Count + waits.Count);
    }

    [Fact]
    public async Task Logins_that_are_refused_are_counted_by_reason()
    {
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant, s => s with { MaxClientConn = 1, ServerLoginRetry = TimeSpan.FromSeconds(5) });
        var database = await NewDatabaseAsync();

        await RefusedAsync(pooler, database, "nobody we know");
        await RefusedAsync(pooler, "no_such_database", PostgresForPooler.Trusted);
        using var client = await pooler.LoginAsync(database);
        await RefusedAsync(pooler, database, PostgresForPooler.Trusted);

        Assert.Equal(1, Value(pooler, "pooler.client.login.failures", "authentication"));
        Assert.Equal(1, Value(pooler, "pooler.client.login.failures", "server_unavailable"));
        Assert.Equal(1, Value(pooler, "pooler.client.login.failures", "connection_limit"));
        Assert.Equal(3, Family(pooler, "pooler.client.login.failures").Samples.Sum(s => s.Value));
        Assert.Equal(1, Value(pooler, "pooler.server.connect.failures", "no_such_database", "unknown_database"));
        Assert.Equal(1, Value(pooler, "pooler.client.logins", database));
    }

    [Fact]
    public async Task A_server_that_cannot_be_reached_is_a_failure_of_that_kind()
    {
        var port = Process.PoolerProgram.FreePort();
        await using var pooler = RunningPooler.Start(
            Postgres, AnyVariant, s => s with { QueryWaitTimeout = TimeSpan.FromMilliseconds(200), ServerLoginRetry = TimeSpan.FromMinutes(5) },
            d => d with { Port = port });

        await RefusedAsync(pooler, "shop", PostgresForPooler.Trusted);

        Assert.Equal(1, Value(pooler, "pooler.timeouts", "shop", "query_wait_timeout"));
        Assert.Equal(1, Value(pooler, "pooler.client.login.failures", "wait_timeout"));
        await Eventually.TrueAsync(() => Value(pooler, "pooler.server.connect.failures", "shop", "unreachable") == 1, cancellationToken: Cancelled);
        Assert.Equal(0, Value(pooler, "pooler.server.connect.failures", "shop", "other"));
        Assert.Equal(0, Family(pooler, "db.client.connection.create_time").Samples.Sum(s => s.Times!.Count));
    }

    [Fact]
    public async Task Timeouts_are_counted_by_kind_and_the_servers_that_they_close_too()
    {
        var soon = TimeSpan.FromMilliseconds(50);
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant, s => s with { DefaultPoolSize = 1 });
        var database = await NewDatabaseAsync();

        await EndedAsync(pooler, database, s => s with { QueryTimeout = soon }, "SELECT pg_sleep(60)");
        await EndedAsync(pooler, database, s => s with { QueryTimeout = TimeSpan.Zero, IdleTransactionTimeout = soon }, "BEGIN");
        await EndedAsync(pooler, database, s => s with { IdleTransactionTimeout = TimeSpan.Zero, TransactionTimeout = soon }, "BEGIN");
        await EndedAsync(pooler, database, s => s with { TransactionTimeout = TimeSpan.Zero, ClientIdleTimeout = soon }, "SELECT 1");
        Reload(pooler, s => s with { ClientIdleTimeout = TimeSpan.Zero, ClientLoginTimeout = soon });
        using (var silent = await RawClient.ConnectAsync(pooler.EndPoint)) await silent.ReadToEndAsync();
        Reload(pooler, s => s with { ClientLoginTimeout = TimeSpan.Zero, QueryWaitTimeout = soon });
        using (var holder = await pooler.LoginAsync(database))
        {
            await holder.Query("BEGIN").AskAsync();
            await EndedAsync(pooler, database, s => s, "SELECT 1");
        }

        foreach (var kind in (string[])["query_timeout", "idle_transaction_timeout", "transaction_timeout", "client_idle_timeout", "query_wait_timeout"])
            Assert.Equal((kind, 1), (kind, Value(pooler, "pooler.timeouts", database, kind)));
        Assert.Equal(1, Value(pooler, "pooler.timeouts", "client_login_timeout"));
        Assert.Equal(1, Value(pooler, "pooler.client.login.failures", "login_timeout"));
        Assert.Equal(1, Value(pooler, "db.client.connection.timeouts", database));
        foreach (var reason in (string[])["query_timeout", "idle_transaction_timeout", "transaction_timeout"])
            Assert.Equal((reason, 1), (reason, Value(pooler, "pooler.server.closings", database, reason)));
        Assert.Equal(0, Value(pooler, "pooler.server.closings", database, "other"));
    }

    [Fact]
    public async Task Servers_that_end_are_counted_by_reason()
    {
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant, s => s with { DefaultPoolSize = 1 });
        var database = await NewDatabaseAsync();
        using var client = await pooler.LoginAsync(database);

        await client.ScalarAsync("SELECT 1");
        pooler.Engine.Reconnect(database);
        await Eventually.TrueAsync(() => Value(pooler, "pooler.server.closings", database, "configuration_changed") == 1, cancellationToken: Cancelled);
        await client.ScalarAsync("SELECT 1");
        await Postgres.Server.ExecuteAsync($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'", cancellationToken: Cancelled);
        await Eventually.TrueAsync(() => Value(pooler, "pooler.server.closings", database, "server_closed") == 1, cancellationToken: Cancelled);
        await client.ScalarAsync("SELECT 1");

        Assert.Equal(2, Family(pooler, "pooler.server.closings").Samples.Sum(s => s.Value));
        Assert.Equal(3, Sample(pooler, "db.client.connection.create_time", database).Times!.Count);
    }

    [Fact]
    public async Task Cancel_requests_are_counted_by_what_became_of_them()
    {
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant);
        var database = await NewDatabaseAsync();
        using var client = await pooler.LoginAsync(database);

        await client.CancelAsync(pooler.EndPoint);
        await client.Query("SELECT pg_sleep(60)").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).ServersActive == 1, cancellationToken: Cancelled);
        await client.CancelAsync(pooler.EndPoint);
        await client.ReadToReadyAsync();
        using (var stranger = await RawClient.ConnectAsync(pooler.EndPoint))
        {
            await stranger.SendAsync([0, 0, 0, 16, 4, 210, 22, 46, 1, 2, 3, 4, 5, 6, 7, 8]);
            await stranger.ReadToEndAsync();
        }

        Assert.Equal(1, Value(pooler, "pooler.cancel.requests", "idle"));
        Assert.Equal(1, Value(pooler, "pooler.cancel.requests", "forwarded"));
        Assert.Equal(1, Value(pooler, "pooler.cancel.requests", "unknown"));
    }

    [Fact]
    public async Task Connections_are_told_by_state_and_against_their_limits()
    {
        await using var pooler = RunningPooler.Start(
            Postgres, AnyVariant, s => s with { DefaultPoolSize = 1, MaxUserConnections = 7 }, d => d with { MaxDbConnections = 3 });
        var database = await NewDatabaseAsync();
        using var holder = await pooler.LoginAsync(database);
        using var waiter = await pooler.LoginAsync(database);
        using var idle = await pooler.LoginAsync(database);
        await holder.Query("BEGIN").AskAsync();
        await waiter.Query("SELECT 1").SendAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database).ClientsWaiting == 1, cancellationToken: Cancelled);

        Assert.Equal([1.0, 1, 1], ((string[])["linked", "idle", "waiting"]).Select(state => Value(pooler, "pooler.client.connections", database, state)));
        Assert.Equal([1.0, 0, 0], ((string[])["used", "idle", "login"]).Select(state => Value(pooler, "db.client.connection.count", database, state)));
        Assert.Equal(1, Value(pooler, "db.client.connection.max", database));
        Assert.Equal(1, Value(pooler, "db.client.connection.pending_requests", database));
        Assert.Equal((1, 3), (Value(pooler, "pooler.database.servers", database), Value(pooler, "pooler.database.servers.max", database)));
        Assert.Equal((1, 7), (Value(pooler, "pooler.user.servers", PostgresForPooler.Trusted), Value(pooler, "pooler.user.servers.max", PostgresForPooler.Trusted)));
        Assert.Equal(3, Value(pooler, "pooler.database.clients", database));
        // No limit: no such series.
        Assert.Empty(Family(pooler, "pooler.database.clients.max").Samples);
        Assert.Equal(3, Value(pooler, "pooler.clients"));
        Assert.Equal(1, Value(pooler, "pooler.servers"));
    }

    [Fact]
    public async Task Statements_that_a_server_has_already_are_hits()
    {
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant, s => s with { DefaultPoolSize = 1 });
        var database = await NewDatabaseAsync();
        await using var one = await pooler.ConnectAsync(database, "Max Auto Prepare=0");
        await using var other = await pooler.ConnectAsync(database, "Max Auto Prepare=0");
        foreach (var connection in (NpgsqlConnection[])[one, other])
        {
            await using var command = new NpgsqlCommand("SELECT 41 + 1", connection);
            await command.PrepareAsync(Cancelled);
            Assert.Equal(42, await command.ExecuteScalarAsync(Cancelled));
        }

        Assert.Equal(2, Value(pooler, "pooler.statements.client_parses", database));
        Assert.Equal(1, Value(pooler, "pooler.statements.server_parses", database));
        Assert.InRange(Value(pooler, "pooler.statements.cache_hits", database), 2, double.MaxValue);
    }

    [Theory]
    [MemberData(nameof(ManyLoops), MemberType = typeof(PoolerTest))]
    public async Task Loops_tell_what_they_have_to_do(Variant variant)
    {
        await using var pooler = RunningPooler.Start(Postgres, variant);

        await Eventually.TrueAsync(
            () => Family(pooler, "pooler.loop.lag").Samples.All(s => s.Times!.Count > 3) && Family(pooler, "pooler.loop.busy").Samples.All(s => s.Value > 0),
            cancellationToken: Cancelled);

        Assert.Equal(["0", "1", "2", "3"], Family(pooler, "pooler.loop.busy").Samples.Select(s => s.Labels[0].Value));
    }

    [Fact]
    public async Task A_listener_hears_the_same_counts_as_are_read()
    {
        using var heard = new Heard();
        await using var pooler = RunningPooler.Start(Postgres, AnyVariant);
        var database = await NewDatabaseAsync();
        using (var client = await pooler.LoginAsync(database))
        {
            for (var i = 0; i < 200; i++) await client.ScalarAsync("SELECT 1");
            await client.ScalarAsync("SELECT pg_sleep(0.05)");
        }
        var pool = $"{database}/{PostgresForPooler.Trusted}";
        string[] names = ["db.client.connection.wait_time", "pooler.query.duration", "pooler.transaction.duration", "db.client.connection.create_time"];
        var read = names.ToDictionary(n => n, n => Sample(pooler, n, database).Times!);
        Assert.Equal(201, read["pooler.query.duration"].Count);

        await Eventually.TrueAsync(() => names.All(n => heard.Times(n, pool).Length == read[n].Count), cancellationToken: Cancelled);

        foreach (var name in names)
        {
            var times = heard.Times(name, pool);
            foreach (var boundary in MetricDefinition.Boundaries)
                Assert.Equal((name, boundary, read[name].CountUpTo((long)Math.Round(boundary * 1e6))), (name, boundary, times.Count(t => t <= boundary)));
            Assert.InRange(times.Sum(), read[name].Sum / 1e6 * 15 / 16, read[name].Sum / 1e6 * 17 / 16);
        }
        heard.Observe();
        Assert.Equal(201, heard.Last("pooler.queries", pool));
        Assert.Equal(1, heard.Last("pooler.client.logins", pool));
    }

    [Fact]
    public async Task What_was_counted_last_is_told_before_the_end()
    {
        using var heard = new Heard();
        string pool;
        await using (var pooler = RunningPooler.Start(Postgres, AnyVariant))
        {
            var database = await NewDatabaseAsync();
            pool = $"{database}/{PostgresForPooler.Trusted}";
            using var client = await pooler.LoginAsync(database);
            for (var i = 0; i < 50; i++) await client.ScalarAsync("SELECT 1");
        }

        Assert.Equal(50, heard.Times("pooler.query.duration", pool).Length);
    }

    [Fact]
    public async Task The_history_of_a_pool_adds_up_to_what_it_has_counted()
    {
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(Postgres, AnyVariant), historyPeriod: TimeSpan.FromMilliseconds(50));
        var database = await NewDatabaseAsync();
        using var client = await pooler.LoginAsync(database);
        IReadOnlyList<PoolInterval> History() => pooler.Engine.History().SingleOrDefault(h => h.Database == database)?.Intervals ?? [];

        for (var i = 0; i < 20; i++) await client.ScalarAsync("SELECT 1");
        await Eventually.TrueAsync(() => History().Sum(i => i.Counted.Queries) == 20, cancellationToken: Cancelled);
        for (var i = 0; i < 22; i++) await client.ScalarAsync("SELECT 1");
        await Eventually.TrueAsync(() => History().Sum(i => i.Counted.Queries) == 42, cancellationToken: Cancelled);

        var history = History();
        Assert.True(history.Count(i => i.Counted.Queries > 0) > 1);
        Assert.Equal(42, history.Sum(i => i.Queries.Count));
        Assert.Equal(pooler.Pool(database).Queries.Sum, history.Sum(i => i.Queries.Sum));
        Assert.Equal(pooler.Pool(database).Waits.Count, history.Sum(i => i.Waits.Count));
        Assert.Equal(1, history[^1].State.ClientsActive);
        Assert.Equal(history.OrderBy(i => i.End), history);
        Assert.All(history, i => Assert.True(i.Length > TimeSpan.Zero));
    }

    private static MetricFamily Family(RunningPooler pooler, string name) => pooler.Engine.Metrics.Read().Single(f => f.Definition.Name == name);

    /// <summary>The one sample that has all these values among its labels.</summary>
    private static MetricSample Sample(RunningPooler pooler, string name, params string[] labels) =>
        Family(pooler, name).Samples.Single(s => labels.All(l => s.Labels.Any(pair => pair.Value == l)));

    private static double Value(RunningPooler pooler, string name, params string[] labels) => Sample(pooler, name, labels).Value;

    private static void Reload(RunningPooler pooler, Func<PoolerSettings, PoolerSettings> change) =>
        pooler.Reload(c => c with { Settings = change(c.Settings) });

    private static async Task RefusedAsync(RunningPooler pooler, string database, string user)
    {
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.Startup(database, user).SendAsync();
        Assert.Equal('E', (await client.ReadToEndAsync())[^1].Type);
    }

    /// <summary>A client asks, and is ended by a timeout.</summary>
    private static async Task EndedAsync(RunningPooler pooler, string database, Func<PoolerSettings, PoolerSettings> change, string sql)
    {
        using var client = await pooler.LoginAsync(database);
        Reload(pooler, change);
        await client.Query(sql).SendAsync();
        Assert.Equal('E', (await client.ReadToEndAsync())[^1].Type);
    }

    /// <summary>Listens to the meters of all engines of this process; the pools' names tell them apart.</summary>
    private sealed class Heard : IDisposable
    {
        private readonly MeterListener _listener = new();
        private readonly ConcurrentQueue<(string Name, string? Pool, double Value)> _times = new();
        private readonly ConcurrentDictionary<(string Name, string? Pool), double> _observed = new();

        public Heard()
        {
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == PoolerTelemetry.Name) listener.EnableMeasurementEvents(instrument);
            };
            _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) =>
            {
                if (instrument is Histogram<double>) _times.Enqueue((instrument.Name, Pool(tags), value));
                else _observed[(instrument.Name, Pool(tags))] = value;
            });
            _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => _observed[(instrument.Name, Pool(tags))] = value);
            _listener.Start();
        }

        public double[] Times(string name, string pool) => [.. _times.Where(t => t.Name == name && t.Pool == pool).Select(t => t.Value)];

        public double Last(string name, string pool) => _observed[(name, pool)];

        public void Observe() => _listener.RecordObservableInstruments();

        public void Dispose() => _listener.Dispose();

        private static string? Pool(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            foreach (var (key, value) in tags)
                if (key == "db.client.connection.pool.name") return (string?)value;
            return null;
        }
    }
}
