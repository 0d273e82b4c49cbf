using System.Diagnostics;
using Pooler.Engine.Configuration;
using Pooler.Engine.Handover;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Sessions.Cancelling;

namespace Pooler.Engine.Sessions;

/// <summary>How a client leaves for another process, and how it is received there.</summary>
/// <remarks>
/// All of a session is in its fields and in the bytes kept and pending: a message may be half on its way in either
/// direction. So it can leave at any moment between two turns of its loop.
/// </remarks>
internal sealed partial class ClientSession
{
    /// <summary>Bytes of one connection that are worth passing on; with more it is cheaper to wait until they are gone.</summary>
    private const int MostBuffered = 16 * 1024 * 1024;

    private ClientSession(LoopContext context, Connection connection, ClientIdentity identity, ClientHandover state)
    {
        _context = context;
        Connection = connection;
        Identity = identity;
        _startupParameters = RestoreTrace(state.StartupParameters, state.Parameters);
        Parameters = state.Parameters.With(TraceCommand.Parameter, null);
        _mode = state.Mode;
        _tracksStatements = _mode != PoolMode.Session && (state.Statements.Length > 0 || context.Engine.Settings.MaxPreparedStatements > 0);
        var now = context.Engine.Now;
        LastActivity = now - state.IdleFor;
        _requestStart = Since(now, state.RequestAge);
        _transactionStart = Since(now, state.TransactionAge);
        _waitedBefore = state.WaitedFor;
        _notifiedOfWait = state.NotifiedOfWait;
        _inBatch = state.InBatch;
        _copyingIn = state.CopyingIn;
        _copyDataSent = state.CopyDataSent;
        _awaitsAnswers = state.AwaitsAnswers;
        _setup = state.Setup;
        _passing = state.Passing;
        _dropping = state.Dropping;
        foreach (var (name, definition) in state.Statements)
        {
            _statements ??= new(BytesComparer.Instance);
            if (_statements.ContainsKey(name)) continue;
            var statement = Registry.Acquire(definition);
            _statements.Add(name, statement);
            _preparedBytes += CostOf(name, statement);
        }
        context.Clients.Add(this);
        if (context.Engine.IsSuspended) connection.Hold();
        identity.Pool.AddClient();
    }

    /// <summary>Whether another process could go on with it now. Its server, if it has one, goes with it.</summary>
    public bool CanBeHandedOver =>
        _state != ClientState.Closed && !IsReplication && IsPassable(Connection) && (_server is null || _server.CanBeHandedOver);

    /// <summary>What another process needs to go on with it.</summary>
    public ClientHandover Save(long now) => new()
    {
        Id = Identity.Id,
        Database = Pool.Database.Name,
        PoolUser = Pool.User.Name,
        LoginUser = Identity.LoginUser.Name,
        CancelKey = Identity.CancelKey.ToArray(),
        ConnectedAt = Identity.ConnectedAt,
        Address = Identity.Address,
        Port = Identity.Port,
        Mode = _mode,
        StartupParameters = _startupParameters.With(TraceCommand.Parameter, _trace?.AtStart.TextOrNull),
        Parameters = Parameters.With(TraceCommand.Parameter, _trace?.Confirmed.TextOrNull),
        Statements = _statements is null ? [] : [.. _statements.Select(s => (s.Key, s.Value.Definition))],
        IdleFor = Math.Max(0, now - LastActivity),
        WaitedFor = _state == ClientState.Waiting ? Math.Max(1, now - WaitingSince) : 0,
        NotifiedOfWait = _notifiedOfWait,
        RequestAge = Age(now, _requestStart),
        TransactionAge = Age(now, _transactionStart),
        InBatch = _inBatch,
        CopyingIn = _copyingIn,
        CopyDataSent = _copyDataSent,
        AwaitsAnswers = _awaitsAnswers,
        Setup = _setup,
        Passing = _passing,
        Dropping = _dropping,
        Buffers = new BufferState(Connection.CopyKeptInput(), Connection.CopyPendingOutput()),
    };

    // The trace goes along with the parameters, among which servers do not see it.
    private SessionParameters RestoreTrace(SessionParameters atStart, SessionParameters now)
    {
        var (first, current) = (TraceValue.Of(atStart[TraceCommand.Parameter]), TraceValue.Of(now[TraceCommand.Parameter]));
        if (first != TraceValue.None || current != TraceValue.None)
        {
            UseTraceAtStart(first);
            _trace!.Restore(current);
        }
        return atStart.With(TraceCommand.Parameter, null);
    }

    /// <summary>Another process has it, with its server if it has one: it is none of this one's business any more.</summary>
    public void Forget()
    {
        var was = _state;
        _state = ClientState.Closed;
        if (was == ClientState.Waiting) Pool.Abandon(this);
        // What follows of it is the other process's to tell.
        _trace?.Transaction?.AddEvent(new ActivityEvent("handed over"));
        EndTransactionSpan(_context.Engine.Now);
        _server?.Forget();
        _server = null;
        _context.Clients.Remove(this);
        Pool.RemoveClient();
        ForgetAllStatements();
        _context.Engine.Budget.RemoveClient(Pool.Database, Identity.LoginUser, _context.Engine.Now);
        Connection.Abandon();
    }

    /// <summary>Receives a client, whose connection is paused still; its server is linked next, if it has one.</summary>
    public static ClientSession Restore(LoopContext context, Connection connection, Pool pool, PoolUser loginUser, ClientHandover state)
    {
        var identity = new ClientIdentity(
            state.Id, pool, loginUser, CancelKey.Of(state.CancelKey), state.ConnectedAt, state.Address, state.Port);
        context.Engine.Budget.AddClient(pool.Database, loginUser);
        var client = new ClientSession(context, connection, identity, state);
        connection.Handler = client;
        return client;
    }

    /// <summary>Links it to the server that it came with.</summary>
    public void RestoreLink(ServerSession server)
    {
        _server = server;
        _state = ClientState.Active;
        server.RestoreLink(this);
        if (_context.Engine.IsSuspended) server.Connection!.Hold();
    }

    /// <summary>Goes on, after both ends are in place. Before the loop runs, or on its thread.</summary>
    public void GoOn()
    {
        var server = _server?.Connection;
        // Each is read again when the other has taken what it is to be sent.
        if (!_awaitsAnswers && server is not { HasPendingOutput: true }) Connection.ResumeReading();
        if (!Connection.HasPendingOutput) server?.ResumeReading();
    }

    internal static bool IsPassable(Connection connection) =>
        connection.CanBeHandedOver && connection.CopyKeptInput().Length <= MostBuffered && connection.CopyPendingOutput().Length <= MostBuffered;

    internal static long Age(long now, long since) => since == 0 ? 0 : Math.Max(1, now - since);

    internal static long Since(long now, long age) => age == 0 ? 0 : now - age;
}
