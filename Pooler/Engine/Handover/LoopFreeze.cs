using Pooler.Engine.Loops;

namespace Pooler.Engine.Handover;

/// <summary>
/// All loops stand still between two of their turns, for as long as this lives: the thread that made it may look at, and
/// change, everything that belongs to any of them.
/// </summary>
internal sealed class LoopFreeze : IDisposable
{
    private readonly ManualResetEventSlim _goOn = new();
    private readonly CountdownEvent _arrived;

    /// <exception cref="HandoverException">A loop does not come to a stop within the limit; none stands still then.</exception>
    public LoopFreeze(IReadOnlyList<EventLoop> loops, TimeSpan limit)
    {
        _arrived = new CountdownEvent(loops.Count);
        foreach (var loop in loops)
        {
            loop.Post(static state =>
            {
                var freeze = (LoopFreeze)state!;
                freeze._arrived.Signal();
                freeze._goOn.Wait();
            }, this);
        }
        if (_arrived.Wait(limit)) return;
        Dispose();
        throw new HandoverException("an event loop does not come to a stop");
    }

    // The events are left to the garbage collector: a loop may be about to look at them still.
    public void Dispose() => _goOn.Set();
}
