using System.Security.Cryptography;
using System.Text;
using Pooler.Engine.Auth;
using Pooler.Engine.Handover;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Pools;

// What of a pool goes to another process, and what becomes of it there.
public sealed partial class Pool
{
    /// <summary>What its successor in another process would have to find out anew.</summary>
    internal PoolState Save()
    {
        var found = _learned is { } learned && ReferenceEquals(learned.ListedSecret, User.Secret) ? learned.Credentials : null;
        return new PoolState
        {
            Database = Database.Name,
            User = User.Name,
            Way = Way(),
            Welcome = _welcome is { } welcome ? [.. welcome.Parameters] : null,
            Tracked = _welcome?.Tracked ?? SessionParameters.Empty,
            FoundSecret = found?.Secret?.Text,
            FoundSecretIsPlain = found?.Secret?.Kind == SecretKind.Plain,
            FoundKeys = Join(found?.ScramKeys),
            UserKeys = Join(User.Credentials.ScramKeys),
            Totals = Totals,
        };
    }

    /// <summary>Goes on where another process has left off. What is known here already is newer, and stays. Any thread.</summary>
    internal void Restore(PoolState state)
    {
        if (state.FoundSecret is { } text && _learned is null)
        {
            var secret = state.FoundSecretIsPlain ? Secret.FromPassword(text) : Secret.Parse(text);
            _learned = new Learned(new ServerCredentials(User.Name, secret, Split(state.FoundKeys)), User.Secret);
        }
        if (Split(state.UserKeys) is { } keys) User.RestoreKeys(keys);
        if (state.Welcome is not { } parameters) return;
        List<PoolWaiter>? welcomed = null;
        lock (_lock)
        {
            if (_welcome is not null) return;
            _welcome = new Welcome(parameters, state.Tracked);
            // A release of the servers that follow could pick them.
            if (_waiters.WelcomeCount > 0) welcomed = _waiters.Drain(static w => w.WaitsForWelcome);
        }
        if (welcomed is null) return;
        foreach (var waiter in welcomed) waiter.OnWelcome();
    }

    /// <summary>Whether another process reached its servers as this one would.</summary>
    internal bool IsSameWay(PoolState state) => state.Way.AsSpan().SequenceEqual(Way());

    /// <summary>Counts a server in that another process has opened: idle, or linked to a client already.</summary>
    internal void AddRestored(PooledServer server, EventLoop loop, bool idle)
    {
        _host.Budget.AddServer(Database, User);
        lock (_lock)
        {
            server.ListIndex = _servers.Count;
            _servers.Add(server);
            server.State = idle ? ServerState.Idle : ServerState.Active;
            if (!idle) return;
            server.ShelfIndex = loop.Index;
            _shelves[loop.Index].Push(server);
        }
    }

    /// <summary>Another process has the server: counts it out, without opening another in its place.</summary>
    internal void Forget(PooledServer server)
    {
        lock (_lock)
        {
            if (server.State == ServerState.Idle) _shelves[server.ShelfIndex].Remove(server);
            server.State = ServerState.Closed;
            var last = _servers[^1];
            _servers[server.ListIndex] = last;
            last.ListIndex = server.ListIndex;
            _servers.RemoveAt(_servers.Count - 1);
            server.ListIndex = -1;
        }
        _host.Budget.ReleaseServer(Database, User);
    }

    private byte[] Way()
    {
        var s = Database.Settings;
        var text = new StringBuilder();
        string?[] parts = [s.Host, s.Port.ToString(), Database.ServerDatabaseName, User.Name, s.Password, s.ConnectQuery,
            .. s.StartupParameters.OrderBy(p => p.Key, StringComparer.Ordinal).SelectMany(p => new[] { p.Key, p.Value })];
        foreach (var part in parts) text.Append(part?.Length ?? -1).Append(':').Append(part);
        return SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString()));
    }

    private static byte[]? Join(ScramKeys? keys) => keys is null ? null : [.. keys.ClientKey, .. keys.ServerKey];

    private static ScramKeys? Split(byte[]? keys) => keys is null ? null : new ScramKeys(keys[..ScramKeys.Length], keys[ScramKeys.Length..]);
}
