using System.Runtime.CompilerServices;
using Pooler.Engine.Console;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Sessions.Cancelling;

/// <summary>Finds out whom a cancel request is for, and sends it on its way. Any thread, where nothing else is said.</summary>
internal sealed class CancelRouter(EngineCore engine)
{
    private readonly ConditionalWeakTable<Pool, CancelQueue> _queues = [];

    /// <summary>The other processes of the group.</summary>
    public PeerDirectory Peers { get; } = new(engine);

    /// <summary>A moment's deliveries to the server of a pool.</summary>
    public CancelDelivery[] DeliveriesOf(Pool pool) => _queues.TryGetValue(pool, out var queue) ? queue.Deliveries : [];

    /// <summary>Takes over a connection that asks for cancellation; on the connection's loop.</summary>
    /// <param name="context">Of the connection's loop.</param>
    /// <param name="requester">The connection.</param>
    /// <param name="id">The connection's number among the clients.</param>
    /// <param name="key">Process id and secret as they came, at least eight bytes; is changed.</param>
    public void Accept(LoopContext context, Connection requester, long id, byte[] key)
    {
        var request = new CancelRequest(context, requester, id);
        var ownId = engine.Settings.PeerId;
        if (ownId > 0)
        {
            var peerId = CancelKey.PeerOf(key);
            if (peerId != ownId)
            {
                ForwardToPeer(context, request, peerId, key);
                return;
            }
            CancelKey.ForgetForwards(key);
        }
        if (FindClient(key) is { } client) ForwardToServerOf(client, request);
        else if (FindConsole(key) is { } console)
        {
            End(request, CancelResult.Console, "cancel request for console client");
            engine.RunOn(console.Connection.Loop, static state => ((ConsoleSession)state!).Cancel(), console);
        }
        else if (request.PassOn(key)) Events.Cancels.Add(CancelResult.PassedOn);
        else End(request, CancelResult.Unknown, "failed cancel request");
    }

    /// <summary>Takes a request that came to the process which has taken over from this one. Any thread.</summary>
    /// <param name="key">Process id and secret.</param>
    /// <param name="descriptors">The requester's socket, unless it could not be passed on.</param>
    public void AcceptPassed(byte[] key, int[] descriptors)
    {
        var context = engine.Contexts[0];
        context.Loop.Post(static state =>
        {
            var (router, its, bytes, sockets) = ((CancelRouter, LoopContext, byte[], int[]))state!;
            var descriptor = sockets is [var passed] ? passed : Libc.OneEndOfPair();
            if (descriptor < 0) return;
            var connection = its.Loop.Restore(descriptor, null, [], []);
            router.Accept(its, connection, its.Engine.NextServerId(), bytes);
            connection.ResumeReading();
        }, (this, context, key, descriptors));
    }

    private void ForwardToPeer(LoopContext context, CancelRequest request, int peerId, byte[] key)
    {
        if (!CancelKey.TryCountForward(key)) End(request, CancelResult.Unknown, "failed to forward cancel request because its TTL was exhausted");
        else if (Peers.Find(peerId) is not { } peer) End(request, CancelResult.Unknown, "could not find peer to forward request to");
        else
        {
            Events.Cancels.Add(CancelResult.PassedOn);
            CancelDelivery.ToPeer(context, request, peer.OpenQueue(), peer.LocateAsync, key);
        }
    }

    private void ForwardToServerOf(ClientSession client, CancelRequest request)
    {
        request.Pool = client.Pool;
        client.WaiterLoop.Post(static state =>
        {
            var (router, target, its) = ((CancelRouter, ClientSession, CancelRequest))state!;
            if (target.Server is not { } server) router.End(its, CancelResult.Idle, "cancel request for idle client");
            // It would end the client instead of its query, which is behind ours.
            else if (server.IsRestoringParameters) router.End(its, CancelResult.Idle, "ignoring cancel request for server that is setting vars");
            else if (!server.CanBeCanceled) router.End(its, CancelResult.Idle, "the server has given no cancel key");
            else
            {
                router.Events.Cancels.Add(CancelResult.Forwarded);
                CancelDelivery.ToServer(router.ContextOf(target), its, router.QueueOf(target.Pool), server);
            }
        }, (this, client, request));
    }

    private EngineEvents Events => engine.Events;

    private void End(CancelRequest request, CancelResult result, string reason)
    {
        Events.Cancels.Add(result);
        request.Finish(reason);
    }

    private LoopContext ContextOf(ClientSession client) => engine.ContextOf(client.WaiterLoop);

    // As in PgBouncer cancel requests may double the connections of a pool, and no other limit holds them up.
    private CancelQueue QueueOf(Pool pool) => _queues.GetValue(pool, static its => new CancelQueue(() => its.Size));

    // Anybody can send requests without logging in: looking must not cost more than time.
    private ClientSession? FindClient(byte[] key)
    {
        foreach (var context in engine.Contexts)
            if (context.Clients.Find(key, static (client, its) => client.Identity.CancelKey.Matches(its)) is { } client) return client;
        return null;
    }

    private ConsoleSession? FindConsole(byte[] key)
    {
        foreach (var context in engine.Contexts)
            if (context.Consoles.Find(key, static (console, its) => console.CancelKey.Matches(its)) is { } console) return console;
        return null;
    }
}
