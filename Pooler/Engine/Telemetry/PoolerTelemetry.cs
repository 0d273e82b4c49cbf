using System.Diagnostics.Metrics;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// The engine's meter and activity source, both named <see cref="Name"/>. Metric names follow OpenTelemetry's semantic
/// conventions for database client connection pools where those fit (the pooler is a client of PostgreSQL), and are
/// <c>pooler.*</c> elsewhere. What happens per transaction is counted by the pools themselves and only observed here, so
/// that the hot path does nothing for telemetry.
/// </summary>
public sealed class PoolerTelemetry : IDisposable
{
    /// <summary>Name of the meter and of the activity source.</summary>
    public const string Name = "Pooler";

    private readonly Meter _meter = new(Name);
    private readonly Func<EngineSnapshot> _snapshot;
    private readonly TimeProvider _timeProvider;
    private readonly Histogram<double> _waitTime;
    private readonly Histogram<double> _createTime;
    private readonly Counter<long> _timeouts;

    internal PoolerTelemetry(Func<EngineSnapshot> snapshot, Func<IReadOnlyList<HostSnapshot>> hosts, TimeProvider timeProvider)
    {
        _snapshot = snapshot;
        _timeProvider = timeProvider;
        var histogram = new InstrumentAdvice<double>
        {
            HistogramBucketBoundaries = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60],
        };
        _waitTime = _meter.CreateHistogram(
            "db.client.connection.wait_time", "s", "Time clients that had to wait waited for a server connection.", null, histogram);
        _createTime = _meter.CreateHistogram(
            "db.client.connection.create_time", "s", "Time from opening a server connection until it could be used.", null, histogram);
        _timeouts = _meter.CreateCounter<long>(
            "db.client.connection.timeouts", "{timeout}", "Clients that gave up waiting after query_wait_timeout.");

        _meter.CreateObservableUpDownCounter("db.client.connection.count", () => PerPool<int>(static p =>
        [
            (p.ServersActive + p.ServersBeingCanceled, "used"),
            (p.ServersIdle + p.ServersUsed + p.ServersTested, "idle"),
        ], "db.client.connection.state"), "{connection}", "Server connections by state.");
        _meter.CreateObservableUpDownCounter("db.client.connection.max", () => PerPool<int>(static p => [(p.Size, null)]),
            "{connection}", "Server connections allowed (pool_size).");
        _meter.CreateObservableUpDownCounter("db.client.connection.pending_requests", () => PerPool<int>(static p => [(p.ClientsWaiting, null)]),
            "{request}", "Clients waiting for a server connection.");
        _meter.CreateObservableUpDownCounter("pooler.client.connections", () => PerPool<int>(static p => [(p.ClientsActive + p.ClientsWaiting, null)]),
            "{connection}", "Client connections logged in.");
        _meter.CreateObservableUpDownCounter("pooler.client.connections.max", () => _snapshot().MaxClients,
            "{connection}", "Client connections allowed (max_client_conn).");
        _meter.CreateObservableGauge("pooler.wait.oldest", () => PerPool<double>(static p => [(p.MaxWait / 1e6, null)]),
            "s", "How long the client that waits longest has waited.");
        _meter.CreateObservableGauge("pooler.host.up", () => hosts().Select(h => new Measurement<int>(
            h.IsUsable ? 1 : 0, new("db.namespace", h.Database), new("server.address", h.Address ?? h.Host),
            new("server.port", h.Port), new("pooler.host.state", h.State), new("pooler.host.role", h.Role ?? "unknown"))),
            "{host}", "1 for each address of a database's hosts that can be used, 0 for those that are down or do not fit.");
        Count("pooler.transactions", "{transaction}", "Transactions ended.", static t => t.Transactions);
        Count("pooler.queries", "{query}", "Queries and extended batches ended.", static t => t.Queries);
        Count("pooler.client.received", "By", "Bytes from clients.", static t => t.BytesReceived);
        Count("pooler.client.sent", "By", "Bytes to clients.", static t => t.BytesSent);
        Count("pooler.client.logins", "{login}", "Client logins.", static t => t.Logins);
        Count("pooler.server.assignments", "{assignment}", "Times a client was given a server.", static t => t.ServerAssignments);
        Count("pooler.statements.client_parses", "{statement}", "Named statements prepared by clients.", static t => t.ClientParses);
        Count("pooler.statements.server_parses", "{statement}", "Named statements prepared on servers.", static t => t.ServerParses);
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();

    /// <summary>A client that had to wait was given a server.</summary>
    /// <param name="pool">The pool it waited for.</param>
    /// <param name="waited">Microseconds.</param>
    internal void OnWaited(Pool pool, long waited)
    {
        if (_waitTime.Enabled) _waitTime.Record(waited / 1e6, PoolTag(pool));
    }

    /// <summary>A client gave up waiting.</summary>
    internal void OnWaitTimedOut(Pool pool) => _timeouts.Add(1, PoolTag(pool));

    /// <summary>A server connection is ready.</summary>
    /// <param name="pool">Its pool.</param>
    /// <param name="took">Microseconds since it was opened.</param>
    internal void OnServerOpened(Pool pool, long took)
    {
        if (_createTime.Enabled) _createTime.Record(took / 1e6, PoolTag(pool));
    }

    private static KeyValuePair<string, object?> PoolTag(Pool pool) =>
        new("db.client.connection.pool.name", $"{pool.Database.Name}/{pool.User.Name}");

    private void Count(string name, string unit, string description, Func<PoolTotals, long> value) =>
        _meter.CreateObservableCounter(name, () => PerPool<long>(p => [(value(p.Totals), null)]), unit, description);

    private List<Measurement<T>> PerPool<T>(Func<PoolSnapshot, (T Value, string? Tag)[]> values, string? tagName = null) where T : struct
    {
        var measurements = new List<Measurement<T>>();
        foreach (var pool in _snapshot().Pools)
        {
            var name = new KeyValuePair<string, object?>("db.client.connection.pool.name", $"{pool.Database}/{pool.User}");
            foreach (var (value, tag) in values(pool))
            {
                measurements.Add(tag is null
                    ? new Measurement<T>(value, name)
                    : new Measurement<T>(value, name, new KeyValuePair<string, object?>(tagName!, tag)));
            }
        }
        return measurements;
    }
}
