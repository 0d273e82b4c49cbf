using System.Net;
using Pooler.Engine.Configuration;

namespace Pooler.Engine.Hosts;

/// <summary>A row of SHOW DNS_HOSTS.</summary>
/// <param name="Name">The host name.</param>
/// <param name="TimeToLive">Microseconds until it is looked up again; 0 when that is due.</param>
/// <param name="Addresses">Its addresses; none after a failed lookup.</param>
internal sealed record DnsName(string Name, long TimeToLive, IReadOnlyList<IPAddress> Addresses);

/// <summary>A row of SHOW DNS_ZONES.</summary>
/// <param name="Name">What comes after the first dot of host names.</param>
/// <param name="Serial">Of its SOA record; 0 while it has not been asked.</param>
/// <param name="Count">How many names are in it.</param>
internal sealed record DnsZone(string Name, uint Serial, int Count);

/// <summary>What a query has found.</summary>
/// <param name="Name">The host name.</param>
/// <param name="Addresses">Its addresses now.</param>
/// <param name="Gone">Those it had before and has no more.</param>
/// <param name="Error">Why there are none.</param>
internal sealed record DnsOutcome(string Name, IReadOnlyList<IPAddress> Addresses, IReadOnlyList<IPAddress> Gone, string? Error);

/// <summary>
/// Addresses of host names, kept for dns_max_ttl, failed lookups for dns_nxdomain_ttl. All who want a name at the same
/// time share one query, and each gets the addresses beginning with the next one in turn. Any thread.
/// </summary>
internal sealed class DnsCache(INameResolver resolver, Func<PoolerSettings> settings, Func<long> now, Action<DnsOutcome> onOutcome)
{
    /// <summary>More addresses of a name are not looked at: what name servers say has no other bound.</summary>
    private const int MostAddresses = 64;

    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, uint> _serials = new(StringComparer.OrdinalIgnoreCase);
    private int _active;

    /// <summary>The names, sorted.</summary>
    public IReadOnlyList<DnsName> Names
    {
        get
        {
            lock (_lock) return [.. _entries.Values.Select(e => new DnsName(e.Name, Math.Max(0, e.ExpiresAt - now()), e.Error is null ? e.Addresses : []))];
        }
    }

    /// <summary>The zones, sorted.</summary>
    public IReadOnlyList<DnsZone> Zones
    {
        get
        {
            lock (_lock) return [.. _serials.Select(z => new DnsZone(z.Key, z.Value, _entries.Values.Count(e => IsIn(e, z.Key))))];
        }
    }

    /// <summary>Queries under way.</summary>
    public int ActiveQueries => Volatile.Read(ref _active);

    /// <summary>The addresses of a name, or why there are none.</summary>
    public ValueTask<(IReadOnlyList<IPAddress> Addresses, string? Error)> LookUpAsync(string name)
    {
        lock (_lock)
        {
            if (!_entries.TryGetValue(name, out var entry))
            {
                entry = new Entry(name);
                _entries.Add(name, entry);
                if (entry.Zone is { } zone && !_serials.ContainsKey(zone)) _serials.Add(zone, 0);
            }
            if (entry.Query is null && entry.ExpiresAt > now()) return new(Deliver(entry));
            return new(DeliverAfterAsync(entry, Query(entry)));
        }
    }

    /// <summary>Looks names up again whose time is over and that are still wanted.</summary>
    public void Refresh(Func<string, bool> isWanted)
    {
        Entry[] due;
        lock (_lock) due = [.. _entries.Values.Where(e => e.Query is null && e.ExpiresAt <= now())];
        foreach (var entry in due)
        {
            if (!isWanted(entry.Name)) continue;
            lock (_lock) _ = Query(entry);
        }
    }

    /// <summary>Asks each zone for its serial. The names of a zone whose serial has grown are looked up again.</summary>
    /// <returns>The zones that have changed, with both serials.</returns>
    public async Task<IReadOnlyList<(string Zone, uint Old, uint New)>> CheckZonesAsync()
    {
        string[] zones;
        lock (_lock) zones = [.. _serials.Keys];
        var changed = new List<(string, uint, uint)>();
        foreach (var zone in zones)
        {
            Interlocked.Increment(ref _active);
            uint? serial;
            try
            {
                serial = await resolver.ReadSerialAsync(zone).ConfigureAwait(false);
            }
            finally
            {
                Interlocked.Decrement(ref _active);
            }
            if (serial is not { } current) continue;
            lock (_lock)
            {
                var old = _serials[zone];
                // Serials go round: RFC 1982.
                if (unchecked((int)(current - old)) <= 0) continue;
                _serials[zone] = current;
                changed.Add((zone, old, current));
                foreach (var entry in _entries.Values)
                    if (IsIn(entry, zone)) _ = Query(entry);
            }
        }
        return changed;
    }

    private static bool IsIn(Entry entry, string zone) => zone.Equals(entry.Zone, StringComparison.OrdinalIgnoreCase);

    /// <summary>The query under way, or a new one. Under the lock.</summary>
    private Task Query(Entry entry)
    {
        if (entry.Query is { } running) return running;
        Interlocked.Increment(ref _active);
        // On the thread pool, as resolvers may block before they first wait.
        return entry.Query = Task.Run(() => QueryAsync(entry));
    }

    private async Task QueryAsync(Entry entry)
    {
        IPAddress[] addresses = [];
        string? error = null;
        var temporary = false;
        try
        {
            addresses = [.. (await resolver.ResolveAsync(entry.Name).ConfigureAwait(false)).Distinct().Take(MostAddresses)];
            if (addresses.Length == 0) error = "the name has no address";
        }
        catch (NameLookupException e)
        {
            error = e.Message;
            temporary = e.IsTemporary;
        }
        catch (Exception e)
        {
            // Whatever it was: those who wait must go on.
            error = e.Message;
        }
        var outcome = Note(entry, addresses, error, temporary);
        Interlocked.Decrement(ref _active);
        onOutcome(outcome);
    }

    private DnsOutcome Note(Entry entry, IPAddress[] addresses, string? error, bool temporary)
    {
        lock (_lock)
        {
            entry.Query = null;
            var limits = settings();
            IReadOnlyList<IPAddress> gone = [];
            if (error is null)
            {
                gone = [.. entry.Addresses.Except(addresses)];
                entry.Addresses = addresses;
                entry.Error = null;
                entry.ExpiresAt = now() + Microseconds(limits.DnsMaxTtl);
            }
            else
            {
                // Name servers that cannot be reached say nothing about the servers whose addresses they gave out before.
                entry.Error = temporary && entry.Addresses.Length > 0 ? null : error;
                entry.ExpiresAt = now() + Microseconds(limits.DnsNxdomainTtl);
            }
            return new DnsOutcome(entry.Name, entry.Error is null ? entry.Addresses : [], gone, entry.Error);
        }
    }

    private async Task<(IReadOnlyList<IPAddress> Addresses, string? Error)> DeliverAfterAsync(Entry entry, Task query)
    {
        // Whatever those who are told of outcomes made of it: this one waits for the addresses only.
        await query.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_lock) return Deliver(entry);
    }

    private static (IReadOnlyList<IPAddress> Addresses, string? Error) Deliver(Entry entry)
    {
        if (entry.Error is not null) return ([], entry.Error);
        var first = entry.Turn % entry.Addresses.Length;
        entry.Turn = first + 1;
        return ([.. entry.Addresses[first..], .. entry.Addresses[..first]], null);
    }

    private static long Microseconds(TimeSpan time) => time.Ticks / TimeSpan.TicksPerMicrosecond;

    private sealed class Entry(string name)
    {
        public string Name { get; } = name;

        /// <summary>Everything after the first dot; null when there is nothing.</summary>
        public string? Zone { get; } = name.IndexOf('.') is var dot and >= 0 && dot < name.Length - 1 ? name[(dot + 1)..] : null;

        public IPAddress[] Addresses { get; set; } = [];

        public string? Error { get; set; }

        public long ExpiresAt { get; set; }

        public int Turn { get; set; }

        public Task? Query { get; set; }
    }
}
