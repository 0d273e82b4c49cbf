using System.Net;
using Pooler.Engine.Configuration;

namespace Pooler.Engine.Hosts;

/// <summary>
/// Where the servers of a database are: its hosts, whose turn it is, and what is known of each address. Any thread.
/// </summary>
internal sealed class DatabaseHosts(DatabaseSettings settings, string unixSocketDirectory)
{
    private readonly Lock _lock = new();
    private readonly ServerHost[] _hosts = HostList.Of(settings, unixSocketDirectory);
    private readonly bool _inTurn = settings.LoadBalanceHosts != "disable";
    private int _turn;
    private volatile bool _anyDown;

    /// <summary>In the order of the configuration.</summary>
    public IReadOnlyList<ServerHost> Hosts => _hosts;

    /// <summary>Some address is down: perhaps one is to be probed.</summary>
    public bool AnyDown => _anyDown;

    /// <summary>Whether there is a choice at all.</summary>
    public bool HasChoice
    {
        get
        {
            lock (_lock) return _hosts.Length > 1 || _hosts[0].Addresses.Length > 1;
        }
    }

    /// <summary>
    /// The hosts in the order in which a login tries them: round-robin begins with the next one each time, and
    /// load_balance_hosts = disable with the one that worked last.
    /// </summary>
    public ServerHost[] NextOrder()
    {
        if (_hosts.Length == 1) return _hosts;
        lock (_lock)
        {
            var first = _turn;
            if (_inTurn) _turn = (_turn + 1) % _hosts.Length;
            return [.. _hosts[first..], .. _hosts[..first]];
        }
    }

    /// <summary>A name has been looked up: what is known of addresses that stay is kept.</summary>
    /// <returns>The addresses in the order of the answer.</returns>
    public HostAddress[] NoteAddresses(ServerHost host, IReadOnlyList<IPAddress> answer)
    {
        lock (_lock)
        {
            var addresses = new HostAddress[answer.Count];
            for (var i = 0; i < addresses.Length; i++)
            {
                var endPoint = new IPEndPoint(answer[i], host.Port);
                addresses[i] = Array.Find(host.Addresses, a => endPoint.Equals(a.EndPoint)) ?? new HostAddress(host, endPoint);
            }
            host.Addresses = addresses;
            host.Lookup.State = HostState.Untried;
            host.Lookup.LastError = null;
            NoteAnyDown();
            return addresses;
        }
    }

    /// <summary>The address of a server that is open already, be it still one of those a login would find or not.</summary>
    public HostAddress AddressOf(string name, int port, EndPoint endPoint)
    {
        lock (_lock)
        {
            var host = Array.Find(_hosts, h => h.Name == name && h.Port == port) ?? new ServerHost(0, name, port, null);
            return Array.Find(host.Addresses, a => endPoint.Equals(a.EndPoint)) ?? new HostAddress(host, endPoint);
        }
    }

    /// <summary>A login or a probe there went well.</summary>
    public void NoteUp(HostAddress address, ServerRole role, long now, long recheckAt)
    {
        lock (_lock)
        {
            Change(address, HostState.Up, now);
            address.LastError = null;
            if (role != ServerRole.Unknown) address.Role = role;
            address.NextTry = recheckAt;
            if (!_inTurn) _turn = address.Host.Index;
            NoteAnyDown();
        }
    }

    /// <summary>It cannot be used now.</summary>
    /// <param name="address">The address, or a host's lookup.</param>
    /// <param name="state">Down or unfit.</param>
    /// <param name="role">When known.</param>
    /// <param name="error">Why.</param>
    /// <param name="now">Loop microseconds.</param>
    /// <param name="nextTry">Until then it is passed over.</param>
    /// <returns>Whether that is news.</returns>
    public bool NoteUnusable(HostAddress address, HostState state, ServerRole role, string error, long now, long nextTry)
    {
        lock (_lock)
        {
            var news = address.State != state;
            Change(address, state, now);
            address.LastError = error;
            address.NextTry = nextTry;
            if (role != ServerRole.Unknown) address.Role = role;
            NoteAnyDown();
            return news;
        }
    }

    /// <summary>A server has reported its role while in use. Returns whether it is another one than before.</summary>
    public bool NoteRole(HostAddress address, ServerRole role)
    {
        lock (_lock)
        {
            var news = address.Role != role;
            address.Role = role;
            return news;
        }
    }

    /// <summary>
    /// Whether a login is to pass the address over at first. One that did not fit and is due is claimed by this login:
    /// the others go on passing it over.
    /// </summary>
    public bool IsPassedOver(HostAddress address, TargetSessionAttrs wanted, long now, long nextTry)
    {
        lock (_lock)
        {
            if (address.State == HostState.Down) return true;
            if (address.State != HostState.Unfit && SessionAttributes.MaySuit(address.Role, wanted)) return false;
            if (now < address.NextTry) return true;
            address.NextTry = nextTry;
            return false;
        }
    }

    /// <summary>Addresses that are down and due, to be probed: only while others work, as logins try them otherwise.</summary>
    public IReadOnlyList<HostAddress> TakeDueProbes(long now)
    {
        if (!_anyDown) return [];
        lock (_lock)
        {
            var all = _hosts.SelectMany(h => h.Addresses).ToArray();
            if (!all.Any(a => a.State != HostState.Down)) return [];
            var due = all.Where(a => a.State == HostState.Down && !a.IsProbed && a.NextTry <= now).ToArray();
            foreach (var address in due) address.IsProbed = true;
            return due;
        }
    }

    /// <summary>A probe has ended.</summary>
    public void EndProbe(HostAddress address, string? error, long now, long nextTry)
    {
        lock (_lock)
        {
            address.IsProbed = false;
            // A login was faster.
            if (address.State != HostState.Down) return;
            if (error is null)
            {
                // Its role may be another one since it went.
                Change(address, HostState.Up, now);
                address.Role = ServerRole.Unknown;
                address.LastError = null;
                NoteAnyDown();
            }
            else
            {
                address.LastError = error;
                address.NextTry = nextTry;
            }
        }
    }

    private static void Change(HostAddress address, HostState state, long now)
    {
        if (address.State == state) return;
        address.State = state;
        address.Since = now;
    }

    private void NoteAnyDown() => _anyDown = _hosts.Any(h => h.Addresses.Any(a => a.State == HostState.Down));
}
