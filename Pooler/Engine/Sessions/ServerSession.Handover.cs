using Pooler.Engine.Handover;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;

namespace Pooler.Engine.Sessions;

/// <summary>How a server connection leaves for another process, and how it is received there.</summary>
internal sealed partial class ServerSession
{
    private ServerSession(EngineCore engine, Pool pool, long id, ServerHandover state, IReadOnlyDictionary<long, PreparedStatement> statements)
        : base(pool, engine.Now - state.Age)
    {
        _engine = engine;
        Id = id;
        ConnectedAt = state.ConnectedAt;
        _openingDone = true;
        _hosts = engine.Hosts.HostsOf(pool.Database);
        Address = _hosts.AddressOf(state.Host, state.HostPort, state.Target);
        BackendPid = state.BackendPid;
        BackendKey = state.BackendKey;
        TransactionStatus = state.TransactionStatus;
        Parameters = state.Parameters;
        _reported = state.Reported;
        _servedClient = true;
        IdleSince = state.WasUsed ? Math.Max(1, engine.Now - state.IdleFor) : 0;
        LinkedAt = ClientSession.Since(engine.Now, state.LinkedFor);
        CloseNeeded = state.CloseNeeded;
        _passing = state.Passing;
        _dropping = state.Dropping;
        _toldFatal = state.ToldFatal;
        foreach (var number in state.Statements) Statements.Add(Find(number, statements));
        foreach (var request in state.Outstanding)
        {
            var statement = request.Statement == 0 ? null : Find(request.Statement, statements);
            // A client's Close holds its statement until it is answered.
            if (request.Kind == RequestKind.Close && statement is not null) engine.Statements.Acquire(statement.Definition);
            Outstanding.Enqueue(new Request(request.Kind, statement, request.ClientName));
        }
    }

    /// <summary>Whether another process could go on with it now, together with the client that it is linked to.</summary>
    public bool CanBeHandedOver =>
        State is ServerState.Active or ServerState.Idle && OwnStartup is null && _query is null && _cancels.Count == 0
        && Connection is { } connection && ClientSession.IsPassable(connection);

    /// <summary>All statements that the other process must know for it.</summary>
    public IEnumerable<PreparedStatement> KnownStatements
    {
        get
        {
            foreach (var statement in Statements.ByUse) yield return statement;
            for (var i = 0; i < Outstanding.Count; i++)
                if (Outstanding[i].Statement is { } statement) yield return statement;
        }
    }

    /// <summary>What another process needs to go on with it.</summary>
    public ServerHandover Save(long now) => new()
    {
        Id = Id,
        Database = Pool.Database.Name,
        PoolUser = Pool.User.Name,
        Host = Address!.Host.Name,
        HostPort = Address.Host.Port,
        Target = Target!,
        ConnectedAt = ConnectedAt,
        Age = Math.Max(0, now - OpenedAt),
        IdleFor = Math.Max(0, now - IdleSince),
        WasUsed = IdleSince != 0,
        LinkedFor = ClientSession.Age(now, LinkedAt),
        BackendPid = BackendPid,
        BackendKey = BackendKey,
        TransactionStatus = TransactionStatus,
        Parameters = Parameters,
        Reported = _reported,
        Outstanding = [.. Enumerable.Range(0, Outstanding.Count).Select(i => Outstanding[i])
            .Select(r => new RequestState(r.Kind, r.Statement?.Id ?? 0, r.ClientName))],
        Statements = [.. Statements.ByUse.Select(s => s.Id)],
        CloseNeeded = CloseNeeded,
        Passing = _passing,
        Dropping = _dropping,
        ToldFatal = _toldFatal,
        Buffers = new BufferState(Connection!.CopyKeptInput(), Connection.CopyPendingOutput()),
    };

    /// <summary>Another process has it: it is none of this one's business any more.</summary>
    public void Forget()
    {
        _finished = true;
        _client = null;
        for (var i = 0; i < Outstanding.Count; i++)
            if (Outstanding[i] is { Kind: RequestKind.Close, Statement: { } statement }) _engine.Statements.Release(statement);
        Outstanding.Clear();
        Pool.Forget(this);
        Connection!.Abandon();
    }

    /// <summary>Receives a server connection, which is paused still.</summary>
    /// <param name="context">Of the loop that has the connection.</param>
    /// <param name="connection">The connection.</param>
    /// <param name="pool">Its pool.</param>
    /// <param name="id">Its number here.</param>
    /// <param name="state">What the other process has told of it.</param>
    /// <param name="statements">The statements by their numbers.</param>
    /// <exception cref="HandoverException">It has statements that nobody has told of.</exception>
    public static ServerSession Restore(
        LoopContext context, Connection connection, Pool pool, long id, ServerHandover state, IReadOnlyDictionary<long, PreparedStatement> statements)
    {
        var server = new ServerSession(context.Engine, pool, id, state, statements) { Connection = connection };
        connection.Handler = server;
        return server;
    }

    /// <summary>Linked to the client that it came with.</summary>
    public void RestoreLink(ClientSession client)
    {
        _client = client;
        OwesRestOfMessage = _passing > 0 && !_dropping;
    }

    private static PreparedStatement Find(long number, IReadOnlyDictionary<long, PreparedStatement> statements) =>
        statements.TryGetValue(number, out var statement) ? statement : throw new HandoverException($"no statement has the number {number}");
}
