using System.Diagnostics;
using System.Net;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// Makes the engine's spans. Each is made when what it tells of is over, with the times of its beginning and end, because
/// only then is it known whether there is anything to tell; a transaction's span alone lives as long as the transaction,
/// as its queries need it for their parent.
/// </summary>
/// <remarks>
/// The loops work for many clients in turn and have no ambient activity: none is ever left behind on their threads, and
/// that of another thread is neither a parent nor disturbed.
/// Attribute names are those of OpenTelemetry's semantic conventions for database client calls where they have one.
/// </remarks>
internal sealed class Tracing(TimeProvider timeProvider)
{
    /// <summary>By how much two readings of the clocks may differ before the wall clock is taken to have been set, in ticks.</summary>
    private const long ClockTolerance = 10 * TimeSpan.TicksPerMillisecond;

    private static readonly ActivitySource Source = new(PoolerTelemetry.Name);

    private long _wallOffset = long.MinValue;

    /// <summary>Whether anybody wants spans. Without, nothing is done for them.</summary>
    public static bool IsListening => Source.HasListeners();

    /// <summary>Begins a span that began some time ago. Null when the listeners do not want it.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="kind">Whether it is a call to the server, or happens in here.</param>
    /// <param name="parent">What it is a part of; the default makes it the root of a trace of its own.</param>
    /// <param name="startedAt">In loop microseconds.</param>
    /// <param name="pool">The pool concerned.</param>
    /// <param name="link">Another span that it has to do with.</param>
    public Activity? Begin(string name, ActivityKind kind, in ActivityContext parent, long startedAt, Pool pool, in ActivityContext link = default)
    {
        var ambient = Activity.Current;
        Activity.Current = null;
        var span = Source.CreateActivity(name, kind, parent, tags: null, links: link == default ? null : [new ActivityLink(link)]);
        if (span is not null)
        {
            span.SetStartTime(Wall(startedAt));
            span.Start();
        }
        Activity.Current = ambient;
        if (span is null || !span.IsAllDataRequested) return span;
        span.SetTag("db.system.name", "postgresql");
        span.SetTag("db.namespace", pool.Database.ServerDatabaseName);
        span.SetTag("db.client.connection.pool.name", $"{pool.Database.Name}/{pool.User.Name}");
        return span;
    }

    /// <summary>Ends a span.</summary>
    /// <param name="span">The span, if the listeners want it.</param>
    /// <param name="endedAt">In loop microseconds.</param>
    public void End(Activity? span, long endedAt)
    {
        if (span is null) return;
        var ambient = Activity.Current;
        span.SetEndTime(Wall(endedAt));
        span.Stop();
        Activity.Current = ambient;
    }

    /// <summary>Notes what went wrong.</summary>
    /// <param name="span">The span, if the listeners want it.</param>
    /// <param name="sqlState">The error's code; null when it was not an error of PostgreSQL's kind.</param>
    /// <param name="description">In words; null when only the code is known.</param>
    public static void NoteError(Activity? span, string? sqlState, string? description)
    {
        if (span is not { IsAllDataRequested: true }) return;
        span.SetStatus(ActivityStatusCode.Error, description);
        span.SetTag("error.type", sqlState ?? "_OTHER");
        if (sqlState is not null) span.SetTag("db.response.status_code", sqlState);
    }

    /// <summary>Notes which server connection it was.</summary>
    public static void NoteServer(Activity? span, long id, EndPoint? target, int backendPid)
    {
        if (span is not { IsAllDataRequested: true }) return;
        if (target is IPEndPoint ip)
        {
            span.SetTag("server.address", ip.Address.ToString());
            span.SetTag("server.port", ip.Port);
        }
        else if (target is not null)
        {
            span.SetTag("server.address", target.ToString());
        }
        span.SetTag("pooler.server.id", ConnectionName.PointerOf(isServer: true, id));
        if (backendPid != 0) span.SetTag("db.postgresql.backend_pid", backendPid);
    }

    /// <summary>Notes which client connection it was.</summary>
    public static void NoteClient(Activity? span, long id)
    {
        if (span is { IsAllDataRequested: true }) span.SetTag("pooler.client.id", ConnectionName.PointerOf(isServer: false, id));
    }

    /// <summary>A server connection is ready, or has failed for good.</summary>
    /// <param name="pool">Its pool.</param>
    /// <param name="parent">The trace of the client that it was opened for.</param>
    /// <param name="id">The connection's number.</param>
    /// <param name="target">Where it connects to.</param>
    /// <param name="backendPid">The backend's process; 0 when it is not known.</param>
    /// <param name="openedAt">In loop microseconds.</param>
    /// <param name="now">In loop microseconds.</param>
    /// <param name="error">Why it failed; null when it is ready.</param>
    /// <returns>The span, for others to link to.</returns>
    public ActivityContext ServerConnect(
        Pool pool, in ActivityContext parent, long id, EndPoint? target, int backendPid, long openedAt, long now, PgError? error)
    {
        if (!IsListening) return default;
        var span = Begin("server connect", ActivityKind.Client, parent, openedAt, pool);
        NoteServer(span, id, target, backendPid);
        if (error is not null) NoteError(span, error.SqlState, error.Message);
        End(span, now);
        return span?.Context ?? default;
    }

    // One offset between the clocks for all spans, or those of one request would overlap by what lies between two readings.
    private DateTime Wall(long loopTime)
    {
        var offset = timeProvider.GetUtcNow().Ticks - LoopClock.Microseconds(timeProvider) * TimeSpan.TicksPerMicrosecond;
        var known = Volatile.Read(ref _wallOffset);
        if (known == long.MinValue || Math.Abs(offset - known) > ClockTolerance) Volatile.Write(ref _wallOffset, known = offset);
        return new DateTime(loopTime * TimeSpan.TicksPerMicrosecond + known, DateTimeKind.Utc);
    }
}
