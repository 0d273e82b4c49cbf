using Pooler.Engine.Configuration;
using Pooler.Engine.Sessions;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// The slowest waits and queries of the last minutes, and the log's lines about them. Sessions ask it for the thresholds
/// and come here only with what is over them.
/// </summary>
internal sealed class SlowRequestLog(EngineLog log, TimeProvider timeProvider)
{
    public const string Wait = "wait";
    public const string Query = "query";

    // Each kind for itself, or a thousand waits would push out the query that they waited for.
    private readonly SlowestRequests _waits = new();
    private readonly SlowestRequests _queries = new();
    private volatile bool _withValues;

    /// <summary>Queries from this long on are slow, microseconds.</summary>
    public long SlowQuery { get; private set; } = long.MaxValue;

    /// <summary>Waits from this long on are slow, microseconds.</summary>
    public long SlowWait { get; private set; } = long.MaxValue;

    /// <summary>Makes changed settings the current ones.</summary>
    public void Use(PoolerSettings settings)
    {
        SlowQuery = Threshold(settings.SlowQueryTime);
        SlowWait = Threshold(settings.SlowWaitTime);
        _withValues = settings.LogQueryParameters;
    }

    /// <summary>Something took too long. On the client's loop.</summary>
    /// <param name="client">Whose it was.</param>
    /// <param name="kind"><see cref="Wait"/> or <see cref="Query"/>.</param>
    /// <param name="took">Microseconds.</param>
    /// <param name="loopTime">Now, in loop microseconds.</param>
    /// <param name="server">The server whose last request it is about; null when it is not known.</param>
    /// <param name="settings">The settings of the moment.</param>
    public void Report(ClientSession client, string kind, long took, long loopTime, ServerSession? server, PoolerSettings settings)
    {
        var kept = kind == Wait ? _waits : _queries;
        var isLogged = kind == Wait ? settings.LogSlowWaits : settings.LogSlowQueries;
        // Where everything is slow, most of it is not even worth a text.
        if (!isLogged && !kept.Wants(took, loopTime, timeProvider)) return;
        var identity = client.Identity;
        var trace = client.TraceParent;
        var request = new SlowRequest(
            timeProvider.GetUtcNow(), kind, TimeSpan.FromMicroseconds(took), identity.Pool.Database.Name, identity.Pool.User.Name,
            identity.LogName.Pointer, client.Origin, client.ApplicationName,
            server is null ? "" : RequestDescription.Of(server.LastRequest, withValues: false), trace?[3..35])
        {
            SpanId = trace?[36..52],
            QueryWithValues = server is not null && settings.LogQueryParameters ? RequestDescription.Of(server.LastRequest, withValues: true) : null,
        };
        kept.Add(request);
        if (!isLogged) return;
        var text = new SlowRequestText(request.WithValues());
        if (kind == Wait) log.SlowWait(identity.LogName, text);
        else log.SlowQuery(identity.LogName, text);
    }

    /// <summary>What is kept, slowest first. Any thread.</summary>
    /// <param name="mayShowValues">False for readers who are not to see values even with log_query_parameters.</param>
    public IReadOnlyList<SlowRequest> Read(bool mayShowValues = true)
    {
        var now = timeProvider.GetUtcNow();
        // Texts from when the setting was on lose their values with it.
        var withValues = mayShowValues && _withValues;
        return [.. _waits.Read(now).Concat(_queries.Read(now)).Select(r => withValues ? r.WithValues() : r).OrderByDescending(r => r.Duration)];
    }

    private static long Threshold(TimeSpan time) => time > TimeSpan.Zero ? time.Ticks / TimeSpan.TicksPerMicrosecond : long.MaxValue;
}
