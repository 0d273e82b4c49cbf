using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Pools;

/// <summary>Which servers are closed and why: by age, idleness, limits and orders; and what follows when one is gone.</summary>
public sealed partial class Pool
{
    private const string TooMany = "too many servers in the pool";

    private long? _lastLifetimeEnd;

    /// <summary>A server connection is gone and its place is free.</summary>
    /// <param name="server">The server, closed.</param>
    /// <param name="wasOpening">It never got as far as <see cref="OnLoggedIn"/>.</param>
    /// <param name="failure">Why logging in failed; null when it was closed for another reason.</param>
    internal void OnClosed(PooledServer server, bool wasOpening, PgError? failure)
    {
        var loop = server.Connection?.Loop ?? _host.Loops[0];
        List<PoolWaiter>? refused = null;
        PoolWaiter? owner = null;
        lock (_lock)
        {
            server.State = ServerState.Closed;
            var last = _servers[^1];
            _servers[server.ListIndex] = last;
            last.ListIndex = server.ListIndex;
            _servers.RemoveAt(_servers.Count - 1);
            server.ListIndex = -1;
            if (server.OwnStartup is not null)
            {
                owner = ForgetOwnServer(server);
            }
            else if (server.GrantedTo is { } waiter)
            {
                // It never got to the waiter's loop.
                server.GrantedTo = null;
                waiter.Granted = null;
                _waiters.PutBack(waiter);
            }
            else if (wasOpening)
            {
                _opening--;
                // With CloseNeeded it was begun with what has been corrected since.
                if (failure is not null && !server.CloseNeeded) refused = NoteFailure(failure, loop.Now);
            }
            else if (_welcomeIsStale && SharedCount == _opening)
            {
                // Whoever logs in from here on learns from a new server, or hears why there is none.
                _welcome = null;
            }
        }
        _host.Budget.ReleaseServer(Database, User);
        if (refused is not null)
        {
            // What the server itself says is for those who waited for it; later ones hear that it is some time ago.
            var error = failure!.SqlState == SqlState.ConnectionFailure ? FailingError(failure) : failure;
            foreach (var waiter in refused) waiter.OnRefused(error);
        }

        owner?.OnRefused(failure ?? ServerClosedError);
        // With a server_login_retry of zero the next attempt comes with the next Maintain, not in a busy loop.
        if (!wasOpening || failure is null || server.CloseNeeded || server.OwnStartup is not null) Grow(loop);
        _host.OnServerClosed(this);
    }

    /// <summary>
    /// What has to happen from time to time: closes servers idle or alive for too long, opens those that were put off
    /// after a failure, uses the reserve, keeps min_pool_size. Called a few times a second on one loop.
    /// </summary>
    internal void Maintain(EventLoop loop)
    {
        var settings = _host.Settings;
        List<(PooledServer Server, string Reason)>? closing = null;
        lock (_lock)
        {
            var spare = _servers.Count - MinSize;
            var excess = Excess;
            foreach (var shelf in _shelves)
            {
                for (var server = shelf.Bottom; server is not null;)
                {
                    var above = server.ShelfAbove;
                    var reason = ReasonToClose(server, loop.Now);
                    if (reason is null && excess > 0) reason = TooMany;
                    if (reason is null && Database.Removed) reason = "database removed";
                    if (reason is null && settings.ServerIdleTimeout > TimeSpan.Zero && spare > 0
                        && loop.Now - server.IdleSince > Microseconds(settings.ServerIdleTimeout))
                    {
                        reason = "server idle timeout";
                        spare--;
                    }
                    if (reason is not null)
                    {
                        excess--;
                        shelf.Remove(server);
                        server.State = ServerState.Closed;
                        (closing ??= []).Add((server, reason));
                    }
                    server = above;
                }
            }
        }
        if (closing is not null)
            foreach (var (server, reason) in closing) server.CloseFromPool(reason);
        Grow(loop);
        if (!Database.Removed && (ClientCount > 0 || Database.Settings.User is not null))
        {
            while (OpenIfNeeded(loop, forMinimum: true))
            {
            }
        }
    }

    /// <summary>
    /// Closes one idle server so that another pool may use its place in a limit that spans pools. False without one.
    /// </summary>
    internal bool EvictIdle(string reason)
    {
        PooledServer? victim = null;
        lock (_lock)
        {
            foreach (var shelf in _shelves)
                if (shelf.Bottom is { } bottom && (victim is null || bottom.IdleSince < victim.IdleSince)) victim = bottom;
            if (victim is null) return false;
            _shelves[victim.ShelfIndex].Remove(victim);
            victim.State = ServerState.Closed;
        }
        victim.CloseFromPool(reason);
        return true;
    }

    /// <summary>Closes idle servers now and marks the others to be closed when released (RECONNECT, PAUSE).</summary>
    internal void CloseServers(string reason, bool markOthers)
    {
        if (markOthers)
        {
            lock (_lock)
            {
                _welcomeIsStale = true;
                // What has changed may be what was wrong: no waiting for server_login_retry.
                _lastFailure = null;
            }
        }
        while (EvictIdle(reason))
        {
        }
        if (markOthers)
            foreach (var server in Servers) server.CloseNeeded = true;
    }

    /// <summary>Closes the idle ones of some servers now and marks the others to be closed when released.</summary>
    internal void CloseServers(string reason, Func<PooledServer, bool> which)
    {
        List<PooledServer>? idle = null;
        lock (_lock)
        {
            foreach (var server in _servers)
            {
                if (!which(server)) continue;
                server.CloseNeeded = true;
                if (server.State != ServerState.Idle) continue;
                _shelves[server.ShelfIndex].Remove(server);
                server.State = ServerState.Closed;
                (idle ??= []).Add(server);
            }
        }
        if (idle is null) return;
        foreach (var server in idle) server.CloseFromPool(reason);
    }

    /// <summary>Closes what no client uses, be it not even logged in yet; the others are closed when released, while paused.</summary>
    internal void CloseIdleAndOpening(string reason)
    {
        CloseServers(reason, markOthers: false);
        foreach (var server in Servers)
            if (server.State == ServerState.Login) server.AbandonLogin(reason);
    }

    private string? ReasonToClose(PooledServer server, long now)
    {
        if (!server.Connection!.CanBeTaken) return "server conn crashed?";
        if (server.CloseNeeded) return "database configuration changed";
        if (Database.IsHeld) return Database.IsKilled ? "database removed" : "pause mode";
        // Fresh from its login it serves at least once, however short the lifetime: zero means single use.
        if (server.IdleSince == 0) return null;
        var own = Database.Settings.ServerLifetime;
        var lifetime = Microseconds(own > TimeSpan.Zero ? own.Value : _host.Settings.ServerLifetime);
        if (now - server.OpenedAt < lifetime) return null;
        // Servers opened together would all be replaced together: their ends are spread over a lifetime.
        var gap = Size > 0 ? lifetime / Size : 0;
        if (_lastLifetimeEnd is { } last && now - last < gap) return null;
        _lastLifetimeEnd = now;
        return "server lifetime over";
    }

    /// <summary>Servers beyond what is allowed: a reload has made the pool smaller.</summary>
    private int Excess => Size > 0 ? _servers.Count - Size - ReserveSize : 0;
}
