namespace Pooler.Engine.Console;

/// <summary>SHOW HELD_SERVERS and SLOW_REQUESTS, our own.</summary>
internal sealed class ActivityRows(AdminConsole console)
{
    private EngineCore Core => console.Core;

    public IEnumerable<object?[]> HeldServers() => Telemetry.HeldServers.Read(Core).Select(h => new object?[]
    {
        h.Database, h.User, h.Client, h.Server, h.ClientId, h.ClientAddress, h.ClientUser, h.ApplicationName, h.BackendProcess,
        h.State, Microseconds(h.HeldFor), Microseconds(h.StateFor), h.Pin, h.Query, h.TraceId,
    });

    public IEnumerable<object?[]> SlowRequests() => Core.SlowRequests.Read().Select(r => new object?[]
    {
        ConsoleTime.Format(r.End, Core.TimeProvider.LocalTimeZone), r.Kind, Microseconds(r.Duration), r.Database, r.User, r.Client,
        r.ClientAddress, r.ApplicationName, r.Query, r.TraceId,
    });

    private static long Microseconds(TimeSpan time) => time.Ticks / TimeSpan.TicksPerMicrosecond;
}
