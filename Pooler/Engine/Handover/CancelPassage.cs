using System.Collections.Concurrent;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Handover;

/// <summary>
/// Passes cancel requests on to the process before this one, on a thread of its own: that process may be stopped, and
/// anybody can send such requests, so they must keep neither a loop waiting nor memory.
/// </summary>
internal sealed class CancelPassage : IDisposable
{
    /// <summary>Requests that wait; what is beyond fails, as it would with a full backlog.</summary>
    private const int Most = 256;

    private readonly BlockingCollection<Frame> _waiting = new(Most);
    private readonly HandoverChannel _channel;
    private readonly TimeSpan _limit;

    public CancelPassage(HandoverChannel channel, TimeSpan limit)
    {
        (_channel, _limit) = (channel, limit);
        new Thread(Run) { Name = "pooler-takeover-cancels", IsBackground = true }.Start();
    }

    /// <summary>Takes a request with its connection's descriptor, which stays the caller's, or -1. Never waits.</summary>
    public bool TryPass(byte[] key, int descriptor)
    {
        var duplicate = descriptor < 0 ? -1 : Libc.Duplicate(descriptor);
        if (descriptor >= 0 && duplicate < 0) return false;
        var frame = new Frame(FrameKind.Cancel, key, duplicate < 0 ? [] : [duplicate]);
        try
        {
            if (_waiting.TryAdd(frame)) return true;
        }
        catch (InvalidOperationException)
        {
            // The other process has ended just now.
        }
        Close(frame);
        return false;
    }

    /// <summary>There is nobody to pass them to any more.</summary>
    public void Dispose() => _waiting.CompleteAdding();

    private void Run()
    {
        foreach (var frame in _waiting.GetConsumingEnumerable())
        {
            try
            {
                _channel.Send(frame.Kind, frame.Body, _limit, frame.Descriptors);
            }
            catch (Exception e) when (e is HandoverException or ObjectDisposedException)
            {
                // As a request that came too late: nobody is told.
            }
            Close(frame);
        }
    }

    private static void Close(Frame frame)
    {
        foreach (var descriptor in frame.Descriptors) Libc.close(descriptor);
    }
}
