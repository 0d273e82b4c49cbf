using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>
/// What takes itself for a PostgreSQL server and says what a test tells it to, byte by byte. Every connection runs the
/// script; when the script is through, the connection is closed.
/// </summary>
internal sealed class HostileServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentBag<Task> _conversations = [];
    private readonly Func<HostileConnection, Task> _script;
    private readonly Task _accepting;
    private int _connections;

    public HostileServer(Func<HostileConnection, Task> script)
    {
        _script = script;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    /// <summary>A database entry that leads here.</summary>
    public DatabaseSettings Database(string name) =>
        new() { Name = name, Host = "127.0.0.1", Port = ((IPEndPoint)_listener.LocalEndpoint).Port };

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting;
        await Task.WhenAll(_conversations);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                _conversations.Add(ConverseAsync(await _listener.AcceptSocketAsync(_stop.Token), Interlocked.Increment(ref _connections)));
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task ConverseAsync(Socket socket, int number)
    {
        using var connection = new HostileConnection(socket, number, _stop.Token);
        try
        {
            await _script(connection);
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or EndOfStreamException)
        {
            // The pooler has had enough, or the test is over.
        }
    }
}

/// <summary>One connection that the pooler has opened to a <see cref="HostileServer"/>.</summary>
internal sealed class HostileConnection(Socket socket, int number, CancellationToken stop) : IDisposable
{
    private static readonly byte[] Welcome = Written(w =>
    {
        w.AuthenticationOk();
        w.ParameterStatus("server_version", "15.0");
        w.ParameterStatus("client_encoding", "UTF8");
        w.BackendKeyData(4711, [1, 2, 3, 4]);
        w.ReadyForQuery(TransactionStatus.Idle);
    });

    /// <summary>From 1, in the order in which connections came.</summary>
    public int Number => number;

    /// <summary>Messages as bytes.</summary>
    public static byte[] Written(Action<MessageWriter> write)
    {
        var writer = new MessageWriter();
        write(writer);
        return writer.Written.ToArray();
    }

    /// <summary>A message whose length has nothing to do with what follows.</summary>
    public static byte[] Announcing(char type, int length, params byte[] body)
    {
        var bytes = new byte[5 + body.Length];
        bytes[0] = (byte)type;
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(1), length);
        body.CopyTo(bytes, 5);
        return bytes;
    }

    /// <summary>A message whose length is right.</summary>
    public static byte[] Message(char type, params byte[] body) => Announcing(type, body.Length + 4, body);

    /// <summary>What the pooler says first, without its length: the protocol version and what follows it.</summary>
    public async Task<byte[]> ReadStartupAsync() => await ReadExactlyAsync(BinaryPrimitives.ReadInt32BigEndian(await ReadExactlyAsync(4)) - 4);

    /// <summary>The next message.</summary>
    public async Task<RawMessage> ReadAsync()
    {
        var header = await ReadExactlyAsync(5);
        return new RawMessage((char)header[0], await ReadExactlyAsync(BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(1)) - 4));
    }

    /// <summary>Reads up to a message of that type.</summary>
    public async Task<RawMessage> ReadToAsync(char type)
    {
        while (true)
            if (await ReadAsync() is var message && message.Type == type) return message;
    }

    /// <summary>Lets the pooler in as any server does.</summary>
    public async Task LetInAsync()
    {
        await ReadStartupAsync();
        await SendAsync(Welcome);
    }

    /// <summary>Answers every query with one row of that text, as long as the pooler likes.</summary>
    public async Task ServeAsync(string row = "served")
    {
        while (true)
        {
            switch ((await ReadAsync()).Type)
            {
                case 'Q':
                    await SendAsync(Written(w =>
                    {
                        w.DataRow(row);
                        w.CommandComplete("SELECT 1");
                        w.ReadyForQuery(TransactionStatus.Idle);
                    }));
                    break;
                case 'X':
                    return;
            }
        }
    }

    public async Task SendAsync(params byte[] bytes)
    {
        for (var sent = 0; sent < bytes.Length;) sent += await socket.SendAsync(bytes.AsMemory(sent), stop);
    }

    public Task SendAsync(Action<MessageWriter> write) => SendAsync(Written(write));

    /// <summary>Says nothing more, and waits until the pooler has closed the connection.</summary>
    public async Task HoldAsync()
    {
        var buffer = new byte[4096];
        while (await socket.ReceiveAsync(buffer, stop) > 0)
        {
        }
    }

    public void Dispose() => socket.Dispose();

    private async Task<byte[]> ReadExactlyAsync(int count)
    {
        Assert.InRange(count, 0, 100_000);
        var bytes = new byte[count];
        for (var read = 0; read < count;)
        {
            var part = await socket.ReceiveAsync(bytes.AsMemory(read), stop);
            if (part == 0) throw new EndOfStreamException();
            read += part;
        }
        return bytes;
    }
}
