using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;

namespace Pooler.Engine.Handover;

/// <summary>Puts what another process hands over in place here.</summary>
internal sealed class Arrivals(EngineCore core, LoopGroup group)
{
    /// <summary>In a frame, in place of a descriptor that a connection has been made of.</summary>
    private const int Taken = -1;

    private readonly Dictionary<long, PreparedStatement> _statements = [];
    private readonly Dictionary<(string, string), PoolState> _pools = [];
    private readonly List<Connection> _connections = [];
    private int _nextLoop;
    private int _underWay;

    /// <summary>Whether what arrives goes on at once with the numbers that servers have had.</summary>
    private bool _isLate;

    public int Clients { get; private set; }

    public int Servers { get; private set; }

    /// <summary>Before the loops run: all that comes in one go.</summary>
    /// <exception cref="HandoverException">It makes no sense.</exception>
    public void Take(IReadOnlyList<Frame> frames)
    {
        foreach (var frame in frames) Take(frame);
        // They are held by the clients and servers that have them from here on.
        foreach (var statement in _statements.Values) core.Statements.Release(statement);
    }

    /// <summary>While the loops run: one that has become movable.</summary>
    public void TakeLate(Frame frame)
    {
        _isLate = true;
        if (frame.Kind == FrameKind.Pool)
        {
            Take(frame);
            return;
        }
        var loop = group.ChooseForClient();
        Interlocked.Increment(ref _underWay);
        loop.Post(_ =>
        {
            try
            {
                if (frame.Kind == FrameKind.Client) TakeClient(frame, loop);
                else if (frame.Kind == FrameKind.Pair) TakePair(frame, loop);
                else throw new HandoverException($"{frame.Kind} after the handover");
            }
            catch (Exception e)
            {
                core.Log.ArrivalFailed(e.Message);
                // Whatever it was, it concerns these sockets only; a client that a connection was made of counts with that.
                if (frame.Descriptors is not [Taken, ..]) loop.CountAccepted(-1);
                foreach (var descriptor in frame.Descriptors)
                    if (descriptor != Taken) Libc.close(descriptor);
            }
            finally
            {
                Interlocked.Decrement(ref _underWay);
            }
        }, null);
    }

    /// <summary>How many that came late are not in service yet. Any thread.</summary>
    public int UnderWay => Volatile.Read(ref _underWay);

    /// <summary>The handover has failed: lets go of all sockets, which the other process has still.</summary>
    public void Abandon()
    {
        foreach (var connection in _connections) connection.Abandon();
    }

    private void Take(Frame frame)
    {
        switch (frame.Kind)
        {
            case FrameKind.Statement:
                var statement = StatementState.Read(frame.Body);
                if (!_statements.ContainsKey(statement.Id))
                    _statements.Add(statement.Id, core.Statements.Restore(statement.Id, statement.Definition));
                break;
            case FrameKind.Pool:
                var state = PoolState.Read(frame.Body);
                lock (_pools) _pools[(state.Database, state.User)] = state;
                if (FindPool(state.Database, state.User) is { } pool) Restore(pool, state);
                break;
            case FrameKind.Server:
                TakeServer(frame);
                break;
            case FrameKind.Client:
                TakeClient(frame, group.ChooseForClient());
                break;
            case FrameKind.Pair:
                TakePair(frame, group.ChooseForClient());
                break;
            default:
                throw new HandoverException($"{frame.Kind} in the middle of the handover");
        }
    }

    private void Restore(Pool pool, PoolState state)
    {
        // At once: its clients come next.
        pool.Restore(state);
        var loop = core.Loops[0];
        if (_isLate) loop.Post(_ => pool.StatisticsOf(loop).Add(state.Totals), null);
        else pool.StatisticsOf(loop).Add(state.Totals);
    }

    private void TakeServer(Frame frame)
    {
        var reader = new StateReader(frame.Body);
        var state = ServerHandover.Read(ref reader);
        reader.End();
        if (frame.Descriptors.Length != 1) throw new HandoverException("a server without its socket");
        var loop = core.Loops[_nextLoop++ % core.Loops.Count];
        if (FindPool(state.Database, state.PoolUser) is not { } pool)
        {
            // Its database is not in this process's configuration.
            Libc.close(frame.Descriptors[0]);
            return;
        }
        var server = RestoreServer(state, frame, 0, pool, loop);
        server.Connection!.ResumeReading();
        pool.AddRestored(server, loop, idle: true);
    }

    private void TakeClient(Frame frame, LoopThread loop)
    {
        var reader = new StateReader(frame.Body);
        var state = ClientHandover.Read(ref reader);
        reader.End();
        if (frame.Descriptors.Length != 1) throw new HandoverException("a client without its socket");
        if (RestoreClient(state, frame, loop) is { } client) client.GoOn();
    }

    private void TakePair(Frame frame, LoopThread loop)
    {
        var reader = new StateReader(frame.Body);
        var clientState = ClientHandover.Read(ref reader);
        var serverState = ServerHandover.Read(ref reader);
        reader.End();
        if (frame.Descriptors.Length != 2) throw new HandoverException("a client and a server without their sockets");
        if (RestoreClient(clientState, frame, loop) is not { } client)
        {
            Libc.close(frame.Descriptors[1]);
            return;
        }
        var pool = client.Pool;
        ServerSession server;
        try
        {
            server = RestoreServer(serverState, frame, 1, pool, loop);
        }
        catch when (_isLate)
        {
            client.Fail(PgError.Fatal(SqlState.ConnectionFailure, "the server connection could not be taken over from the process before"));
            throw;
        }
        pool.AddRestored(server, loop, idle: false);
        client.RestoreLink(server);
        client.GoOn();
    }

    private ClientSession? RestoreClient(ClientHandover state, Frame frame, LoopThread loop)
    {
        var connection = RestoreAccepted(loop, frame, state.Buffers);
        try
        {
            return RestoreClient(state, connection, loop);
        }
        catch when (_isLate)
        {
            connection.Close();
            throw;
        }
    }

    private Connection RestoreAccepted(LoopThread loop, Frame frame, BufferState buffers)
    {
        try
        {
            var connection = Restore(loop, frame, 0, buffers);
            ((LoopConnection)connection).MarkAccepted();
            return connection;
        }
        catch
        {
            loop.CountAccepted(-1);
            throw;
        }
    }

    private ClientSession? RestoreClient(ClientHandover state, Connection connection, LoopThread loop)
    {
        if (FindPool(state.Database, state.PoolUser) is { } pool)
        {
            Clients++;
            var user = state.LoginUser == pool.User.Name ? pool.User : core.Directory.FindUser(state.LoginUser) ?? core.Directory.AddUser(state.LoginUser);
            return ClientSession.Restore(core.ContextOf(loop), connection, pool, user, state);
        }
        // As with a reload that removes the database.
        var writer = new MessageWriter();
        PgError.Fatal(SqlState.AdminShutdown, "database removed").WriteTo(writer);
        connection.Handler = RemovedClient.Instance;
        if (_isLate)
        {
            connection.Send(writer.Written);
            connection.CloseAfterSend();
        }
        else
        {
            loop.Post(_ =>
            {
                connection.Send(writer.Written);
                connection.CloseAfterSend();
            }, null);
        }
        return null;
    }

    private ServerSession RestoreServer(ServerHandover state, Frame frame, int index, Pool pool, EventLoop loop)
    {
        var connection = Restore(loop, frame, index, state.Buffers);
        // Later ones may have numbers that this process has given to others meanwhile.
        var id = _isLate ? core.NextServerId() : state.Id;
        ServerSession server;
        try
        {
            server = ServerSession.Restore(core.ContextOf(loop), connection, pool, id, state, _statements);
        }
        catch when (_isLate)
        {
            connection.Close();
            throw;
        }
        PoolState? known;
        lock (_pools) _pools.TryGetValue((state.Database, state.PoolUser), out known);
        // Without a welcome the pool needs a server of its own to learn from. A PgBouncer's could not be given to others
        // anyway: what it has been told, and what it has still to answer, is not known.
        if (pool.Welcome is null || (known is not null && !pool.IsSameWay(known))) server.CloseNeeded = true;
        Servers++;
        return server;
    }

    private Connection Restore(EventLoop loop, Frame frame, int index, BufferState buffers)
    {
        var descriptor = frame.Descriptors[index];
        // Also when it fails: the loop closes it then.
        frame.Descriptors[index] = Taken;
        var connection = loop.Restore(descriptor, RemovedClient.Instance, buffers.Kept, buffers.Pending);
        if (!_isLate) _connections.Add(connection);
        return connection;
    }

    private Pool? FindPool(string databaseName, string userName)
    {
        var database = core.Directory.FindDatabase(databaseName);
        if (database is null || database.Removed) return null;
        return core.Directory.GetOwnPool(database, core.Directory.FindUser(userName) ?? core.Directory.AddUser(userName));
    }

    /// <summary>Hears nothing, until a session has taken the connection over, or for the short rest of its life.</summary>
    private sealed class RemovedClient : IConnectionHandler
    {
        public static readonly RemovedClient Instance = new();

        public void OnConnected(Connection connection)
        {
        }

        public ReadAnswer OnReadable(Connection connection, Readiness readiness) => ReadAnswer.Pause;

        public int OnReceived(Connection connection, Span<byte> data) => data.Length;

        public void OnDrained(Connection connection)
        {
        }

        public void OnMoved(Connection connection)
        {
        }

        public void OnClosed(Connection connection, Exception? error)
        {
        }
    }
}
