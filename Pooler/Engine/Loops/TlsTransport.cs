using System.Threading.Tasks.Sources;

namespace Pooler.Engine.Loops;

/// <summary>
/// The socket as <see cref="System.Net.Security.SslStream"/> sees it. During the handshake, on a thread of the pool, it
/// posts its wishes to the loop; afterwards it is called on the loop's thread and is done when the call returns, except
/// for a read that finds nothing, which the loop ends later.
/// </summary>
internal sealed class TlsTransport(TlsLayer layer) : Stream, IValueTaskSource<int>
{
    // During the handshake what follows a read is cryptography, and must not run on the loop that completes it.
    private ManualResetValueTaskSourceCore<int> _reading = new() { RunContinuationsAsynchronously = true };
    private Memory<byte> _wanted;
    private int _leftOfRecord;
    private bool _isReading;
    private bool _mayTakeRecord = true;
    private bool _aborted;
    private volatile bool _inline;

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>The handshake is over. On the loop's thread; nothing is being read.</summary>
    public void GoInline()
    {
        _reading.RunContinuationsAsynchronously = false;
        _mayTakeRecord = false;
        _inline = true;
    }

    /// <summary>After the handshake: lets the reader have the first record, and no more than that.</summary>
    public void OfferRecord() => _mayTakeRecord = true;

    /// <summary>Ends what is being read with an error, now and whenever the handshake asks again. On the loop's thread.</summary>
    public void Abort()
    {
        _aborted = true;
        Pump();
    }

    /// <summary>Ends what is being read, if it can be. On the loop's thread.</summary>
    public void Pump()
    {
        if (!_isReading)
            return;
        if (_aborted)
        {
            _isReading = false;
            _reading.SetException(new IOException("The connection was closed."));
            return;
        }

        // A read of no bytes waits until there are some.
        if (_wanted.IsEmpty && _leftOfRecord == 0 && !layer.HasWork && !layer.InputEnded)
            return;
        int count;
        try
        {
            count = _wanted.IsEmpty ? 0 : TakeRecordBytes(_wanted.Span);
        }
        catch (IOException exception)
        {
            _isReading = false;
            _reading.SetException(exception);
            return;
        }

        if (count == 0 && !_wanted.IsEmpty && !layer.InputEnded)
            return;
        _isReading = false;
        _wanted = default;
        _reading.SetResult(count);
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_inline)
        {
            // Nothing is asked of SslStream before a record has arrived.
            if (buffer.IsEmpty)
                return new ValueTask<int>(0);
            var count = TakeRecordBytes(buffer.Span);
            if (count > 0)
                return new ValueTask<int>(count);
        }

        _reading.Reset();
        _wanted = buffer;
        var result = new ValueTask<int>(this, _reading.Version);
        if (_inline)
            _isReading = true;
        else
            layer.Connection.Loop.Post(static state => ((TlsTransport)state!).BeginReading(), this);
        return result;
    }

    public override void Write(ReadOnlySpan<byte> buffer) => layer.Connection.SendAsIs(buffer);

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_inline)
        {
            Write(buffer.Span);
            return default;
        }

        // The caller takes its buffer back at once. A handshake has a few writes, and its messages are small.
        layer.Connection.Loop.Post(
            static state =>
            {
                var (connection, bytes) = ((LoopConnection, byte[]))state!;
                connection.SendAsIs(bytes);
            },
            (layer.Connection, buffer.ToArray()));
        return default;
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("Nothing on a loop may block.");

    public override void Flush()
    {
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    int IValueTaskSource<int>.GetResult(short token) => _reading.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _reading.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _reading.OnCompleted(continuation, state, token, flags);

    private void BeginReading()
    {
        _isReading = true;
        Pump();
    }

    /// <summary>Bytes of the first record, never of a second one behind it; 0 when it is not there yet.</summary>
    private int TakeRecordBytes(Span<byte> destination)
    {
        ref var received = ref layer.Received;
        if (_leftOfRecord == 0)
        {
            if (!_mayTakeRecord || !TlsRecord.IsWhole(received.Span))
                return 0;
            var length = TlsRecord.LengthOf(received.Span);
            if (length < 0)
                throw new IOException("The peer sent something that is not TLS.");
            _mayTakeRecord = !_inline;
            _leftOfRecord = length;
        }

        var count = Math.Min(_leftOfRecord, destination.Length);
        received.Span[..count].CopyTo(destination);
        received.Consume(count);
        _leftOfRecord -= count;
        return count;
    }
}
