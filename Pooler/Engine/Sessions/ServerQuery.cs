using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>What a <see cref="ServerQuery"/> ended in.</summary>
/// <param name="Error">Why there are no rows: the server's error, or what kept the query from being run.</param>
/// <param name="Columns">How many columns the rows have; 0 for a statement that returns none.</param>
/// <param name="Rows">The rows, values in text form.</param>
/// <param name="IsServerError">The server refused the query itself, rather than the pool a connection.</param>
internal sealed record ServerQueryResult(PgError? Error, int Columns, IReadOnlyList<string?[]> Rows, bool IsServerError = false);

/// <summary>
/// A query of the pooler's own with parameters, such as auth_query: waits for a server connection of a pool as clients
/// do, runs on it with the session as it was at the server's login, whatever clients have done since, and gives it back.
/// It holds a connection only while it runs, so that logins cannot lock each other out of an exhausted pool.
/// </summary>
/// <param name="engine">The engine of the pool.</param>
/// <param name="pool">Whose servers run it.</param>
/// <param name="loop">The loop on which it waits and runs.</param>
/// <param name="sql">One statement, with parameters <c>$1</c> ….</param>
/// <param name="parameters">Their values, in text form.</param>
internal sealed class ServerQuery(EngineCore engine, Pool pool, EventLoop loop, string sql, params string?[] parameters) : PoolWaiter
{
    private readonly TaskCompletionSource<ServerQueryResult> _result = new();
    private ServerSession? _server;
    private LoopTimer? _waitTimer;
    private bool _ended;

    public override EventLoop WaiterLoop => loop;

    public override bool WaitsForWelcome => false;

    public override bool IsLogin => true;

    /// <summary>Its pool, while it waits there for a server.</summary>
    public Pool? WaitsIn => WaitingSince > 0 ? pool : null;

    /// <summary>
    /// Whether the session is first to be made as it was at its login: needed unless the query depends on nothing that clients
    /// can have changed, as it takes away what they have left there.
    /// </summary>
    public bool ForgetsClients { get; init; } = true;

    public string Sql => sql;

    public string?[] Parameters => parameters;

    /// <summary>Begins, from any thread. The task never faults; what follows it without a hop runs on the loop.</summary>
    public Task<ServerQueryResult> RunAsync()
    {
        engine.RunOn(loop, static state => ((ServerQuery)state!).Begin(), this);
        return _result.Task;
    }

    /// <summary>Nobody waits for the result any more. From any thread.</summary>
    public void Abandon() => engine.RunOn(loop, static state => ((ServerQuery)state!).GiveUp(), this);

    /// <summary>The answer is complete and the server is given back, or gone.</summary>
    public void Complete(ServerQueryResult result)
    {
        _server = null;
        End(result);
    }

    protected internal override void OnGranted(PooledServer server)
    {
        _waitTimer?.Cancel();
        WaitingSince = 0;
        _server = (ServerSession)server;
        _server.Run(this);
    }

    protected internal override void OnWelcome() => throw new InvalidOperationException("waits for a server");

    protected internal override void OnRefused(PgError error) => engine.RunOn(loop, static state =>
    {
        var (query, reason) = ((ServerQuery, PgError))state!;
        query.End(new ServerQueryResult(reason, 0, []));
    }, (this, error));

    private void Begin()
    {
        if (_ended) return;
        if (pool.TakeOrEnqueue(this, out var refusal) is { } server)
        {
            OnGranted(server);
            return;
        }
        if (refusal is not null)
        {
            End(new ServerQueryResult(refusal, 0, []));
            return;
        }
        var limit = pool.Database.Settings.QueryWaitTimeout ?? engine.Settings.QueryWaitTimeout;
        if (_server is not null || _ended || limit <= TimeSpan.Zero) return;
        _waitTimer = loop.Schedule(limit.Ticks / TimeSpan.TicksPerMicrosecond, static state =>
        {
            var query = (ServerQuery)state!;
            if (query._ended || query._server is not null) return;
            query.GiveUp();
            query.End(new ServerQueryResult(PgError.Fatal(SqlState.ProtocolViolation, "query_wait_timeout"), 0, []));
        }, this);
    }

    private void GiveUp()
    {
        if (_ended) return;
        _ended = true;
        _waitTimer?.Cancel();
        if (_server is { } server)
        {
            _server = null;
            server.Abort("client left during its auth_query");
        }
        else
        {
            pool.Abandon(this);
        }
    }

    private void End(ServerQueryResult result)
    {
        _ended = true;
        _waitTimer?.Cancel();
        // Last: whoever waits may begin the next query on this very server.
        _result.TrySetResult(result);
    }
}
