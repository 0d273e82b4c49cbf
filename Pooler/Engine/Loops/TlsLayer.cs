using System.Net.Security;

namespace Pooler.Engine.Loops;

/// <summary>
/// TLS on one connection: an <see cref="SslStream"/> between the connection's socket and its handler.
/// </summary>
/// <remarks>
/// <para>
/// It hangs on the <see cref="LoopConnection"/> instead of being a kind of connection: a connection begins in the clear
/// and both kinds of loop need it, so deriving would double each class and change an object's type in mid-life. A
/// connection without TLS pays one test for null per read and per send.
/// </para>
/// <para>
/// The stream is given one whole record at a time, and only when that record has arrived (see <see cref="Decrypt"/>).
/// So its reads end inside the call that began them, on the loop's thread; between records it holds no byte, which
/// makes "nothing kept" exact for <see cref="Connection.CanBeTaken"/>; an idle connection holds no buffer; and no
/// peer can make it buffer more than a record. The one read that outlives its record is a read of no bytes over a
/// record without data (a session ticket, a key update): the next record ends it, and the handler never hears of it.
/// </para>
/// <para>
/// Until the handshake has ended the stream is used by threads of the pool. They touch nothing here: they post what
/// they want to read or write to the loop. All members are for the loop's thread.
/// </para>
/// </remarks>
internal sealed class TlsLayer
{
    private readonly LoopConnection _connection;
    private readonly TlsTransport _transport;
    private readonly SslStream _stream;
    private HeldBytes _received;
    private ValueTask<int> _emptyRead;
    private bool _emptyReadWaits;
    private volatile bool _hasWork;

    public TlsLayer(LoopConnection connection, ReadOnlySpan<byte> received)
    {
        _connection = connection;
        _transport = new TlsTransport(this);
        _stream = new SslStream(_transport, leaveInnerStreamOpen: true);
        _received.Append(received);
    }

    public LoopConnection Connection => _connection;

    /// <summary>What has arrived and was not decrypted yet. After adding to it: <see cref="LookAtReceived"/>.</summary>
    public ref HeldBytes Received => ref _received;

    /// <summary>The peer will send no more, as the socket says.</summary>
    public bool InputEnded { get; private set; }

    /// <summary>Closed or broken by the peer, as TLS says; comes after all that was decrypted.</summary>
    public bool Ended { get; private set; }

    /// <summary>Why, when it was not orderly.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>
    /// Whether decrypting has something to do without another read of the socket. Any thread may ask; the answer is the
    /// owner's.
    /// </summary>
    public bool HasWork => _hasWork;

    /// <summary>Runs the handshake on the thread pool; ends in <see cref="LoopConnection.HandshakeEnded"/>.</summary>
    public void Begin(TlsHandshake handshake) => _ = Task.Run(async () =>
    {
        TlsInfo? info = null;
        Exception? failure = null;
        try
        {
            info = await handshake.RunAsync(_stream).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            failure = exception;
            // Not earlier, when the connection closed: a thread may have been at work inside.
            await _stream.DisposeAsync().ConfigureAwait(false);
        }

        _connection.Loop.Post(
            static state =>
            {
                var (layer, info, failure) = ((TlsLayer, TlsInfo?, Exception?))state!;
                layer._connection.HandshakeEnded(layer, info, failure);
            },
            (this, info, failure));
    });

    /// <summary>The handshake is over: from here on everything happens on the loop's thread.</summary>
    public void GoInline()
    {
        _transport.GoInline();
        LookAtReceived();
    }

    /// <summary>The connection closed during the handshake: makes its threads end.</summary>
    public void Abort()
    {
        _received.Release();
        _transport.Abort();
    }

    /// <summary>Gives the handshake what has arrived.</summary>
    public void Pump()
    {
        LookAtReceived();
        _transport.Pump();
    }

    public void EndInput() => InputEnded = true;

    public void LookAtReceived() => _hasWork = Ended || TlsRecord.IsWhole(_received.Span);

    /// <summary>Decrypts whole records, as many as are there and surely fit.</summary>
    /// <param name="room">At least <see cref="TlsRecord.MaxPlaintext"/> long.</param>
    /// <returns>How many bytes were written; then look at <see cref="Ended"/>.</returns>
    public int Decrypt(Memory<byte> room)
    {
        var written = 0;
        try
        {
            while (!Ended && TlsRecord.IsWhole(_received.Span)
                && Math.Min(TlsRecord.LengthOf(_received.Span), TlsRecord.MaxPlaintext) <= room.Length - written)
            {
                written += DecryptRecord(room[written..]);
            }
        }
        catch (Exception exception)
        {
            // The record was forged or damaged, or it was the peer's alert.
            Failure = exception;
            Ended = true;
        }

        LookAtReceived();
        return written;
    }

    /// <summary>Encrypts and sends, or has the connection keep what its peer does not take.</summary>
    public void Send(ReadOnlySpan<byte> data)
    {
        // SslStream takes spans only through a copy of its own.
        var buffer = _connection.Owner.EncryptionBuffer;
        while (!data.IsEmpty)
        {
            var count = Math.Min(data.Length, buffer.Length);
            data[..count].CopyTo(buffer);
            _stream.Write(buffer, 0, count);
            data = data[count..];
        }
    }

    /// <summary>Sends close_notify, so that the peer can tell our end from a cut line (RFC 8446, section 6.1).</summary>
    public void SendEnd()
    {
        // Its one write ends at once: the transport never waits.
        var sending = _stream.ShutdownAsync();
        if (sending.IsFaulted)
            _ = sending.Exception;
    }

    public void Dispose()
    {
        _received.Release();
        _hasWork = false;
        _stream.Dispose();
    }

    private int DecryptRecord(Memory<byte> room)
    {
        // A read of no bytes decrypts the record where it is. Only then is a buffer lent, for a read that ends at once:
        // a waiting one would still have it when it belongs to another connection.
        _transport.OfferRecord();
        if (_emptyReadWaits)
            _transport.Pump();
        else
            _emptyRead = _stream.ReadAsync(Memory<byte>.Empty);
        _emptyReadWaits = !_emptyRead.IsCompleted;
        if (_emptyReadWaits)
            return 0;
        _emptyRead.GetAwaiter().GetResult();

        var reading = _stream.ReadAsync(room);
        if (!reading.IsCompleted)
            throw new IOException("TLS has neither data nor an end where it announced one.");
        var count = reading.GetAwaiter().GetResult();
        if (count == 0)
            Ended = true;
        return count;
    }
}
