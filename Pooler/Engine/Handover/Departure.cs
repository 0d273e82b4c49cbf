using System.Collections.Concurrent;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;

namespace Pooler.Engine.Handover;

/// <summary>
/// The old process's side of an online restart. First everything that can move at all moves in one go, while the loops
/// stand still for some milliseconds: idle and waiting clients, clients in the middle of a transaction, a query or a
/// message with their servers, idle servers. What cannot move now stays and is served on: clients over TLS, whose keys are
/// in this process, and clients linked to such a server; logins under way; replication and consoles. Each of them that
/// becomes movable follows at once. The process ends when the last one has left.
/// </summary>
/// <remarks>
/// Why in one go and as they are, instead of waiting for the ends of transactions: a session-mode client or a long
/// transaction could keep the old process for hours, and there is nothing to wait for, as sessions are state machines over
/// bytes whose state can be written down between any two turns. Until the new process has said that it has all in place,
/// nothing here is changed: when it fails, the loops just go on.
/// </remarks>
internal sealed class Departure(PoolerEngine engine, HandoverChannel channel)
{
    /// <summary>For the new process to start, between being told the sockets and asking for the rest.</summary>
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);

    /// <summary>How often it is looked whether somebody can leave, or all have left.</summary>
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50);

    private readonly BlockingCollection<Parcel> _parcels = [];
    private readonly HashSet<Pool> _announced = [];
    private readonly Arrivals _returning = new(engine.Core, engine.Group);
    private int _packing;
    private volatile bool _successorGone;

    private EngineCore Core => engine.Core;

    /// <summary>For a frame, while nobody is served.</summary>
    private TimeSpan Limit => Core.Settings.SuspendTimeout > TimeSpan.Zero ? Core.Settings.SuspendTimeout : TimeSpan.FromSeconds(60);

    /// <summary>Hands over, then serves who is left. On a thread of its own; ends with the engine, or with an attempt that failed.</summary>
    public void Run()
    {
        int successor;
        try
        {
            SayHello();
            successor = BitConverter.ToInt32(channel.Expect(FrameKind.Begin, StartLimit).Body.AsSpan());
            HandOverAll();
        }
        catch (Exception e)
        {
            // Whatever it was: nothing has changed here, and this thread must not take the process down.
            Core.Log.HandoverFailed(e.Message);
            Core.EndHandover();
            channel.Dispose();
            return;
        }
        engine.OnHandedOver(successor);
        new Thread(ReadCancels) { Name = "pooler-handover-cancels", IsBackground = true }.Start();
        ServeTheRest();
        Core.Log.AllHandedOver();
        channel.Shutdown();
        _ = engine.EndAfterHandoverAsync();
    }

    /// <summary>A client may be movable now. Any thread; cheap.</summary>
    public void Offer(ClientSession client)
    {
        if (_successorGone) return;
        client.WaiterLoop.Post(static state =>
        {
            var (departure, offered) = ((Departure, ClientSession))state!;
            departure.Pack(offered);
        }, (this, client));
    }

    private void SayHello()
    {
        var (endPoints, descriptors) = engine.ListeningDescriptors();
        if (descriptors.Length > HandoverChannel.MostDescriptors) throw new HandoverException($"{descriptors.Length} listening sockets");
        var writer = new StateWriter();
        new HelloState(Environment.ProcessId, endPoints).WriteTo(writer);
        channel.Send(FrameKind.Hello, writer, Limit, descriptors);
    }

    private void HandOverAll()
    {
        var started = Core.Now;
        var committed = false;
        int clientCount, serverCount;
        Core.HoldAccepting(true);
        try
        {
            using var freeze = new LoopFreeze(Core.Loops, Limit);
            CheckAgain();
            // Whoever waits keeps his place in the queue.
            ClientSession[] clients = [.. Core.Clients.Where(c => c.CanBeHandedOver)
                .OrderBy(c => c.State == ClientState.Waiting ? c.WaitingSince : long.MaxValue)];
            ServerSession[] idle = [.. Core.Servers.Where(s => s.State == ServerState.Idle && s.CanBeHandedOver)];
            (clientCount, serverCount) = (clients.Length, idle.Length + clients.Count(c => c.Server is not null));
            SendAll(clients, idle);
            channel.Expect(FrameKind.Commit, Limit);
            CheckAgain();
            channel.Send(FrameKind.Committed, Limit);
            committed = true;
            // Before any loop goes on: whoever becomes movable from here on is to follow.
            Core.Departure = this;
            Forget(clients, idle);
        }
        finally
        {
            if (!committed && !engine.IsSuspended) Core.HoldAccepting(false);
        }
        Core.Log.HandedOver(clientCount, serverCount, (Core.Now - started) / 1000);
    }

    /// <summary>The other process takes some time to start, and this one obeys meanwhile: what it was told must not be undone silently.</summary>
    private void CheckAgain()
    {
        if (engine.ObjectionToHandover() is { } objection) throw new HandoverException(objection);
    }

    private void SendAll(ClientSession[] clients, ServerSession[] idle)
    {
        var now = Core.Now;
        foreach (var statement in clients.Select(c => c.Server).OfType<ServerSession>().Concat(idle).SelectMany(s => s.KnownStatements).Distinct())
        {
            var writer = new StateWriter();
            new StatementState(statement.Id, statement.Definition).WriteTo(writer);
            channel.Send(FrameKind.Statement, writer, Limit);
        }
        foreach (var pool in Core.Directory.Pools) Announce(pool);
        foreach (var server in idle)
        {
            var writer = new StateWriter();
            server.Save(now).WriteTo(writer);
            channel.Send(FrameKind.Server, writer, Limit, server.Connection!.Descriptor);
        }
        foreach (var client in clients)
        {
            var writer = Write(client, now, out var kind);
            if (client.Server is { } server) channel.Send(kind, writer, Limit, client.Connection.Descriptor, server.Connection!.Descriptor);
            else channel.Send(kind, writer, Limit, client.Connection.Descriptor);
        }
        var end = new StateWriter();
        new EndState(Core.LastId, [.. Core.Directory.Databases.Where(d => d.Disabled).Select(d => d.Name)]).WriteTo(end);
        channel.Send(FrameKind.End, end, Limit);
    }

    private static StateWriter Write(ClientSession client, long now, out FrameKind kind)
    {
        var writer = new StateWriter();
        client.Save(now).WriteTo(writer);
        client.Server?.Save(now).WriteTo(writer);
        kind = client.Server is null ? FrameKind.Client : FrameKind.Pair;
        return writer;
    }

    private void Announce(Pool pool)
    {
        if (!_announced.Add(pool)) return;
        var writer = new StateWriter();
        pool.Save().WriteTo(writer);
        channel.Send(FrameKind.Pool, writer, Limit);
    }

    /// <summary>The other process has them now: nothing must stop this in the middle.</summary>
    private void Forget(ClientSession[] clients, ServerSession[] idle)
    {
        // Servers first: what a waiter gives back must not go to one that is about to be forgotten as well.
        foreach (var server in idle) Try(server.Forget);
        foreach (var client in clients) Try(client.Forget);
    }

    private void Try(Action forget)
    {
        try
        {
            forget();
        }
        catch (Exception e)
        {
            Core.Log.ForgettingFailed(e);
        }
    }

    private void ServeTheRest()
    {
        while (true)
        {
            while (_parcels.TryTake(out var parcel, Period)) Send(parcel);
            if (NobodyIsLeft()) return;
            foreach (var client in Core.Clients) Offer(client);
            // Servers that nobody here will need again must not stand in the way of the other process's.
            var needed = Core.Clients.Select(c => c.Pool).Concat(Core.Logins.Select(l => l.WaitsIn ?? l.Pool)).OfType<Pool>().ToHashSet();
            foreach (var pool in Core.Directory.Pools)
                if (!needed.Contains(pool)) pool.CloseIdleAndOpening("handed over to another process");
        }
    }

    /// <summary>
    /// In the order in which somebody goes from one place to the next: whoever leaves one before it is looked at is found
    /// in a later one.
    /// </summary>
    private bool NobodyIsLeft() =>
        _returning.UnderWay == 0 && Core.ClientCount == 0 && Volatile.Read(ref _packing) == 0 && _parcels.Count == 0;

    /// <summary>On the client's loop: takes it out of service, if it can be handed over, and passes it to the sending thread.</summary>
    private void Pack(ClientSession client)
    {
        if (_successorGone || !client.CanBeHandedOver) return;
        // The other process may have given the same numbers to statements of its own.
        if (client.Server is { } server && server.KnownStatements.Any()) return;
        var pool = client.Pool;
        var body = Write(client, Core.Now, out var kind).Written.ToArray();
        int[] descriptors = client.Server is { } linked
            ? [Libc.Duplicate(client.Connection.Descriptor), Libc.Duplicate(linked.Connection!.Descriptor)]
            : [Libc.Duplicate(client.Connection.Descriptor)];
        if (descriptors.Any(d => d < 0))
        {
            // Out of descriptors: later.
            foreach (var descriptor in descriptors) Libc.close(descriptor);
            return;
        }
        Interlocked.Increment(ref _packing);
        Try(client.Forget);
        _parcels.Add(new Parcel(pool, new Frame(kind, body, descriptors)));
        Interlocked.Decrement(ref _packing);
    }

    private void Send(Parcel parcel)
    {
        try
        {
            if (_successorGone) throw new HandoverException("the other process is gone");
            Announce(parcel.Pool);
            channel.Send(parcel.Frame.Kind, parcel.Frame.Body, Limit, parcel.Frame.Descriptors);
            foreach (var descriptor in parcel.Frame.Descriptors) Libc.close(descriptor);
        }
        catch (Exception e) when (e is HandoverException or ObjectDisposedException)
        {
            _successorGone = true;
            // Back into service here: it has not been taken.
            _returning.TakeLate(parcel.Frame);
        }
    }

    private void ReadCancels()
    {
        try
        {
            while (channel.Receive(Timeout.InfiniteTimeSpan) is { } frame)
            {
                if (frame.Kind == FrameKind.Cancel && frame.Body.Length >= 8) Core.Cancels.AcceptPassed(frame.Body, frame.Descriptors);
                else foreach (var descriptor in frame.Descriptors) Libc.close(descriptor);
            }
        }
        catch (HandoverException)
        {
            // As good as its end.
        }
        _successorGone = true;
    }

    private sealed record Parcel(Pool Pool, Frame Frame);
}
