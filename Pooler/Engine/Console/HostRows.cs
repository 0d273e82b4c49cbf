using System.Net;
using Pooler.Engine.Configuration;

namespace Pooler.Engine.Console;

/// <summary>SHOW DNS_HOSTS, DNS_ZONES and our own HOSTS.</summary>
internal sealed class HostRows(AdminConsole console)
{
    private EngineCore Core => console.Core;

    // Addresses are followed by a port that is always 0: so it is upstream.
    public IEnumerable<object?[]> DnsNames() => Core.Hosts.Dns.Names.Select(n => new object?[]
    {
        n.Name, n.TimeToLive / 1_000_000, string.Join(',', n.Addresses.Select(a => new IPEndPoint(a, 0))),
    });

    public IEnumerable<object?[]> DnsZones() => Core.Hosts.Dns.Zones.Select(z => new object?[] { z.Name, (long)z.Serial, z.Count });

    public IEnumerable<object?[]> Hosts() => EngineSnapshot.TakeHosts(Core).Select(h => new object?[]
    {
        h.Database, h.Host, h.Port, h.Address, h.State, h.Role, Word(h.Wanted), h.LastError, Text(h.Since), Text(h.NextTry), h.Servers,
    });

    private static string Word(TargetSessionAttrs wanted) => GlobalSettings.TargetSessionAttrsWords.First(w => w.Value == wanted).Word;

    private string? Text(DateTimeOffset? moment) => moment is { } known ? ConsoleTime.Format(known, Core.TimeProvider.LocalTimeZone) : null;
}
