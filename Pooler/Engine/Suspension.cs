using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Sessions;

namespace Pooler.Engine;

/// <summary>
/// SUSPEND: nothing is read from clients and the servers linked to them, nobody is accepted, and what was still to be
/// sent goes out. Idle servers stay where they are: without clients nobody uses them.
/// </summary>
internal sealed class Suspension(EngineCore engine)
{
    private long _since;
    private int _loopsHeld;
    private bool _timedOut;

    /// <summary>Holds everything. Not from the accepting thread.</summary>
    public void Begin()
    {
        _since = engine.Now;
        _loopsHeld = 0;
        _timedOut = false;
        engine.HoldAccepting(true);
        engine.IsSuspended = true;
        OnEveryLoop(static (suspension, context) =>
        {
            for (var i = 0; i < context.Clients.Count; i++)
            {
                context.Clients[i].Connection.Hold();
                context.Clients[i].Server?.Connection!.Hold();
            }
            Interlocked.Increment(ref suspension._loopsHeld);
        });
    }

    /// <summary>Lets everything go on.</summary>
    public void End()
    {
        engine.IsSuspended = false;
        engine.HasShownDescriptors = false;
        OnEveryLoop(static (_, context) =>
        {
            // Backwards: letting go calls nobody, but a list may shrink by one that was held while it ended.
            for (var i = context.Clients.Count - 1; i >= 0; i--)
            {
                context.Clients[i].Server?.Connection!.LetGo();
                context.Clients[i].Connection.LetGo();
            }
        });
        engine.HoldAccepting(false);
    }

    /// <summary>Whether all is sent and nobody is in the middle of a login. Any thread.</summary>
    public bool IsComplete()
    {
        if (Volatile.Read(ref _loopsHeld) < engine.Loops.Count) return false;
        foreach (var login in engine.Logins)
            if (login.State != LoginState.WaitingForWelcome) return false;
        foreach (var client in engine.Clients)
            if (HasOutput(client)) return false;
        return true;
    }

    /// <summary>
    /// After suspend_timeout drops those that hold it up: peers that do not read what is for them, and logins.
    /// </summary>
    public void CheckTimeout(TimeSpan limit, long now)
    {
        if (_timedOut || limit <= TimeSpan.Zero || now - _since < limit.Ticks / TimeSpan.TicksPerMicrosecond) return;
        _timedOut = true;
        OnEveryLoop(static (_, context) =>
        {
            var error = PgError.Fatal(SqlState.AdminShutdown, "suspend_timeout");
            foreach (var login in context.Logins.ToArray())
                if (login.State != LoginState.WaitingForWelcome) login.Fail(error);
            foreach (var client in context.Clients.ToArray())
                if (HasOutput(client)) client.Kill(error);
        });
    }

    private static bool HasOutput(ClientSession client) =>
        client.State != ClientState.Closed
        && (client.Connection.HasPendingOutput || client.Server is { State: ServerState.Active, Connection.HasPendingOutput: true });

    private void OnEveryLoop(Action<Suspension, LoopContext> action)
    {
        foreach (var context in engine.Contexts)
        {
            context.Loop.Post(static state =>
            {
                var (suspension, its, what) = ((Suspension, LoopContext, Action<Suspension, LoopContext>))state!;
                what(suspension, its);
            }, (this, context, action));
        }
    }
}
