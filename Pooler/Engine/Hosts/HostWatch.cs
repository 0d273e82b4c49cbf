using System.Net;
using Pooler.Engine.Configuration;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;

namespace Pooler.Engine.Hosts;

/// <summary>
/// Keeps what is known of the hosts of all databases up to date, and acts upon it: names are looked up, hosts that are
/// down are probed, servers at an address that is gone from DNS or has got the wrong role are closed as they come free.
/// </summary>
internal sealed class HostWatch
{
    /// <summary>How often expired names are looked for, microseconds.</summary>
    private const long RefreshPeriod = 500_000;

    private readonly EngineCore _engine;
    private long _nextRefresh;
    private long _lastZoneCheck;
    private int _checkingZones;

    public HostWatch(EngineCore engine, INameResolver resolver)
    {
        _engine = engine;
        Dns = new DnsCache(resolver, () => engine.Settings, () => engine.Now, OnLookedUp);
    }

    public DnsCache Dns { get; }

    /// <summary>Whether an error says that the server as a whole cannot be used, rather than this login.</summary>
    public static bool IsDown(PgError error) => error.SqlState.StartsWith("08", StringComparison.Ordinal)
        // admin_shutdown, crash_shutdown, cannot_connect_now
        || error.SqlState is "57P01" or "57P02" or "57P03";

    public DatabaseHosts HostsOf(PoolDatabase database) => database.HostsOf(_engine.Settings.UnixSocketDir);

    /// <summary>Begins a login's way through the hosts.</summary>
    public HostWalk BeginWalk(PoolDatabase database, Action<HostAddress, PgError> onLookupFailed) =>
        new(this, HostsOf(database), database.Name, WantedOf(database), onLookupFailed);

    public TargetSessionAttrs WantedOf(PoolDatabase database) => database.Settings.TargetSessionAttrs ?? _engine.Settings.TargetSessionAttrs;

    /// <summary>The addresses of a name, or why there are none, within server_connect_timeout.</summary>
    public async ValueTask<(IReadOnlyList<IPAddress> Addresses, string? Error)> LookUpAsync(string name)
    {
        var lookup = Dns.LookUpAsync(name);
        if (lookup.IsCompletedSuccessfully) return lookup.Result;
        var limit = _engine.Settings.ServerConnectTimeout;
        if (limit <= TimeSpan.Zero) return await lookup.ConfigureAwait(false);
        try
        {
            // The query itself goes on: its answer is for all who want the name.
            return await lookup.AsTask().WaitAsync(limit, _engine.TimeProvider).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return ([], "the lookup takes longer than server_connect_timeout");
        }
    }

    public bool IsPassedOver(DatabaseHosts hosts, HostAddress address, TargetSessionAttrs wanted) =>
        hosts.IsPassedOver(address, wanted, _engine.Now, RetryAt());

    /// <summary>A name has no address. Returns whether that is news.</summary>
    public bool OnLookupFailed(DatabaseHosts hosts, ServerHost host, PgError error) =>
        hosts.NoteUnusable(host.Lookup, HostState.Down, ServerRole.Unknown, error.Message, _engine.Now, RetryAt());

    /// <summary>A login there has failed. Returns whether that is news.</summary>
    public bool OnLoginFailed(DatabaseHosts hosts, HostAddress address, PgError error) =>
        // A server that answers is there, whatever it thinks of this login.
        IsDown(error) && hosts.NoteUnusable(address, HostState.Down, ServerRole.Unknown, error.Message, _engine.Now, RetryAt());

    /// <summary>A server there is ready to work.</summary>
    public void OnLoggedIn(DatabaseHosts hosts, HostAddress address, ServerRole role) =>
        hosts.NoteUp(address, role, _engine.Now, RetryAt());

    /// <summary>A server there turned out not to be what is asked for. Returns whether that is news.</summary>
    public bool OnUnfit(PoolDatabase database, DatabaseHosts hosts, HostAddress address, ServerRole role, string objection)
    {
        var news = hosts.NoteUnusable(address, HostState.Unfit, role, objection, _engine.Now, RetryAt());
        // With prefer-standby, those that were opened there for want of a standby may stay.
        if (news && WantedOf(database) != TargetSessionAttrs.PreferStandby) CloseServers(database, address.Host.Name, address.EndPoint!, objection);
        return news;
    }

    /// <summary>A server in use has told its role: when it is another one than before, its address may not fit any more.</summary>
    public void OnRoleReported(PoolDatabase database, DatabaseHosts hosts, HostAddress address, ServerRole role)
    {
        if (!hosts.NoteRole(address, role)) return;
        _engine.Log.HostRole(database.Name, address.ToString(), role == ServerRole.Standby ? "standby" : "primary");
        if (SessionAttributes.MaySuit(role, WantedOf(database))) return;
        var objection = role == ServerRole.Standby ? "server is in hot standby mode" : "server is not in hot standby mode";
        hosts.NoteUnusable(address, HostState.Unfit, role, objection, _engine.Now, RetryAt());
        CloseServers(database, address.Host.Name, address.EndPoint!, objection);
    }

    /// <summary>The global target_session_attrs is another one: all servers that it chose are replaced.</summary>
    public void OnWantedChanged()
    {
        foreach (var pool in _engine.Directory.PoolsUnordered)
            if (pool.Database.Settings.TargetSessionAttrs is null) pool.CloseServers("target_session_attrs changed", markOthers: true);
    }

    /// <summary>Periodic work, a few times a second on one loop.</summary>
    public void OnTick(long now)
    {
        foreach (var database in _engine.Directory.DatabasesUnordered)
            if (IsInUse(database) && database.KnownHosts is { AnyDown: true } hosts) Probe(hosts, now);
        if (now >= _nextRefresh)
        {
            _nextRefresh = now + RefreshPeriod;
            Dns.Refresh(IsWanted);
        }
        var period = Microseconds(_engine.Settings.DnsZoneCheckPeriod);
        if (period > 0 && now - _lastZoneCheck >= period && Interlocked.Exchange(ref _checkingZones, 1) == 0)
        {
            _lastZoneCheck = now;
            _ = Task.Run(CheckZonesAsync);
        }
    }

    private void Probe(DatabaseHosts hosts, long now)
    {
        foreach (var address in hosts.TakeDueProbes(now))
        {
            AddressProbe.Start(_engine.Loops[0], address.EndPoint!, _engine.SocketOptions, _engine.Settings.ServerConnectTimeout,
                error => hosts.EndProbe(address, error, _engine.Now, RetryAt()));
        }
    }

    private async Task CheckZonesAsync()
    {
        try
        {
            foreach (var (zone, old, current) in await Dns.CheckZonesAsync().ConfigureAwait(false))
                _engine.Log.ZoneChanged(zone, old, current);
        }
        catch (PoolerStartException e)
        {
            _engine.Log.ZonesUnknown(e.Message);
        }
        finally
        {
            Volatile.Write(ref _checkingZones, 0);
        }
    }

    private void OnLookedUp(DnsOutcome outcome)
    {
        if (outcome.Error is not null) _engine.Log.LookupFailed(outcome.Name, outcome.Error);
        foreach (var database in _engine.Directory.DatabasesUnordered)
        {
            if (database.KnownHosts is not { } hosts) continue;
            foreach (var host in hosts.Hosts)
            {
                if (!host.IsName || host.Name != outcome.Name) continue;
                if (outcome.Error is null) hosts.NoteAddresses(host, outcome.Addresses);
                foreach (var gone in outcome.Gone)
                    CloseServers(database, host.Name, new IPEndPoint(gone, host.Port), "DNS changed", alsoInLogin: true);
            }
        }
    }

    // A login that finds its host unfit goes on to another one: it is not to be closed for that.
    private void CloseServers(PoolDatabase database, string host, EndPoint endPoint, string reason, bool alsoInLogin = false)
    {
        foreach (var pool in _engine.Directory.PoolsUnordered)
        {
            if (pool.Database != database) continue;
            pool.CloseServers(reason, server => server is ServerSession { Address: { } address }
                && (alsoInLogin || server.State != ServerState.Login) && address.Host.Name == host && endPoint.Equals(address.EndPoint));
        }
    }

    private bool IsWanted(string name) => _engine.Directory.DatabasesUnordered.Any(
        d => IsInUse(d) && d.KnownHosts is { } hosts && hosts.Hosts.Any(h => h.IsName && h.Name == name));

    private static bool IsInUse(PoolDatabase database) => database.ClientCount > 0 || database.ServerCount > 0;

    private long RetryAt() => _engine.Now + Microseconds(_engine.Settings.ServerLoginRetry);

    private static long Microseconds(TimeSpan time) => time.Ticks / TimeSpan.TicksPerMicrosecond;
}
