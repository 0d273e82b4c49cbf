using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Hosts;

/// <summary>
/// One login's way through the hosts of a database: first those that should do, in turn; then, rather than fail, those
/// that were passed over because they did not fit or were down. The addresses of a name count as places of their own.
/// </summary>
internal sealed class HostWalk
{
    private readonly HostWatch _watch;
    private readonly DatabaseHosts _hosts;
    private readonly string _database;
    private readonly TargetSessionAttrs _wanted;
    private readonly Queue<ServerHost> _coming;
    private readonly Queue<HostAddress> _ready = new();
    private readonly List<HostAddress> _passedOver = [];
    private readonly Action<HostAddress, PgError> _onLookupFailed;
    private readonly List<(HostAddress Where, PgError Error)> _failures = [];
    private readonly Queue<ServerHost> _unresolved = new();
    private bool _lastRound;

    /// <param name="watch">Knows names and times.</param>
    /// <param name="hosts">The database's.</param>
    /// <param name="database">Its name, for messages.</param>
    /// <param name="wanted">What a server must be.</param>
    /// <param name="onLookupFailed">Told of a name that has no address, when that is news; on any thread.</param>
    public HostWalk(
        HostWatch watch, DatabaseHosts hosts, string database, TargetSessionAttrs wanted, Action<HostAddress, PgError> onLookupFailed)
    {
        _onLookupFailed = onLookupFailed;
        _watch = watch;
        _hosts = hosts;
        _database = database;
        _wanted = wanted;
        _coming = new Queue<ServerHost>(hosts.NextOrder());
    }

    public DatabaseHosts Hosts => _hosts;

    /// <summary>What a server must be in this round: with prefer-standby, in the last one, anything.</summary>
    public TargetSessionAttrs Wanted => _lastRound && _wanted == TargetSessionAttrs.PreferStandby ? TargetSessionAttrs.Any : _wanted;

    /// <summary>Where to connect next; null when there is nothing left.</summary>
    public async ValueTask<HostAddress?> NextAsync()
    {
        while (true)
        {
            if (_ready.TryDequeue(out var address)) return address;
            if (_coming.TryDequeue(out var host))
            {
                // A name whose lookup failed may keep us waiting for it again.
                if (!_lastRound && host.Lookup.State == HostState.Down && _hosts.Hosts.Count > 1) _unresolved.Enqueue(host);
                else Offer(host.IsName ? await LookUpAsync(host).ConfigureAwait(false) : host.Addresses);
                continue;
            }
            if (_lastRound) return null;
            _lastRound = true;
            while (_unresolved.TryDequeue(out var unresolved)) _coming.Enqueue(unresolved);
            // What did not fit answers at once; what is down may keep us waiting.
            foreach (var skipped in _passedOver.OrderBy(a => a.State == HostState.Down)) _ready.Enqueue(skipped);
            _passedOver.Clear();
        }
    }

    /// <summary>The place that <see cref="NextAsync"/> named has not done.</summary>
    public void NoteFailure(HostAddress address, PgError error) => _failures.Add((address, error));

    /// <summary>With prefer-standby a server that is none is better than nothing.</summary>
    public void PassOver(HostAddress address)
    {
        if (!_lastRound && _wanted == TargetSessionAttrs.PreferStandby) _passedOver.Add(address);
    }

    /// <summary>Why nothing did: the one error, or for each host its own.</summary>
    public PgError Failure
    {
        get
        {
            if (_failures.Count == 1) return _failures[0].Error;
            // Of several, a word of a server about the login says more than that another cannot be reached.
            var main = _failures.Find(f => !HostWatch.IsDown(f.Error)).Error ?? _failures[^1].Error;
            return PgError.Fatal(
                main.SqlState,
                $"no usable server for database \"{_database}\": {string.Join("; ", _failures.Select(f => $"{f.Where}: {f.Error.Message}"))}",
                main.Hint, main.Detail);
        }
    }

    /// <summary>The same in the words of the log.</summary>
    public string FailureReason => _failures.TrueForAll(f => f.Where.EndPoint is null) ? "server DNS lookup failed" : Failure.LoggedAs ?? Failure.Message;

    private void Offer(IEnumerable<HostAddress> addresses)
    {
        foreach (var address in addresses)
        {
            if (!_lastRound && _watch.IsPassedOver(_hosts, address, _wanted)) _passedOver.Add(address);
            else _ready.Enqueue(address);
        }
    }

    private async ValueTask<HostAddress[]> LookUpAsync(ServerHost host)
    {
        var (addresses, error) = host.Broken is null ? await _watch.LookUpAsync(host.Name).ConfigureAwait(false) : ([], host.Broken);
        if (error is null) return _hosts.NoteAddresses(host, addresses);
        var failure = PgError.Fatal(SqlState.ConnectionFailure,
            host.Broken ?? $"could not translate host name \"{host.Name}\" to address: {error}", hint: $"Check the host of database \"{_database}\".");
        NoteFailure(host.Lookup, failure);
        if (_watch.OnLookupFailed(_hosts, host, failure)) _onLookupFailed(host.Lookup, failure);
        return [];
    }
}
