using System.Buffers.Binary;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Pooler.Engine.Protocol;

namespace Pooler.IntegrationTests;

/// <summary>
/// A client that says exactly what a test tells it to, byte by byte, and shows what comes back message by message.
/// Messages are gathered by the verbs (<see cref="Query"/>, <see cref="Parse"/> …) and go out in one piece with
/// <see cref="SendAsync()"/>.
/// </summary>
internal sealed class RawClient : IDisposable
{
    /// <summary>The request for TLS.</summary>
    public static readonly byte[] SslRequest = [0, 0, 0, 8, 4, 210, 22, 47];

    /// <summary>The request for GSSAPI encryption.</summary>
    public static readonly byte[] GssRequest = [0, 0, 0, 8, 4, 210, 22, 48];

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly Socket _socket;
    private readonly MessageWriter _out = new();
    private SslStream? _tls;
    private byte[] _in = new byte[16 * 1024];
    private int _start;
    private int _end;

    private RawClient(Socket socket) => _socket = socket;

    /// <summary>What the login told it to ask for cancellation with.</summary>
    public (int ProcessId, byte[] Key) Cancellation { get; private set; }

    /// <summary>Parameters as last reported.</summary>
    public Dictionary<string, string> Parameters { get; } = [];

    /// <summary>Connects, and says nothing yet.</summary>
    public static async Task<RawClient> ConnectAsync(EndPoint endPoint)
    {
        var isUnix = endPoint.AddressFamily == AddressFamily.Unix;
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, isUnix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        if (!isUnix) socket.NoDelay = true;
        using var limit = new CancellationTokenSource(Deadline);
        await socket.ConnectAsync(endPoint, limit.Token);
        return new RawClient(socket);
    }

    /// <summary>Logs in where no password is asked for.</summary>
    public static async Task<RawClient> LoginAsync(
        EndPoint endPoint, string database, string user, params (string Name, string Value)[] parameters)
    {
        var client = await ConnectAsync(endPoint);
        try
        {
            client.Startup(database, user, parameters);
            await client.SendAsync();
            var answer = await client.ReadToReadyAsync();
            if (answer[^1].Type != 'Z') throw new InvalidOperationException("login refused: " + Transcript(answer));
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    /// <summary>Asks for TLS and agrees on it; any certificate will do.</summary>
    public async Task SecureAsync(SslClientAuthenticationOptions? options = null)
    {
        await SendAsync(SslRequest);
        var answer = await ReadByteAsync();
        if (answer != 'S') throw new InvalidOperationException($"TLS refused: {(char)answer}");
        await HandshakeAsync(options);
    }

    /// <summary>Begins TLS without asking.</summary>
    public async Task HandshakeAsync(SslClientAuthenticationOptions? options = null)
    {
        using var limit = new CancellationTokenSource(Deadline);
        _tls = new SslStream(new NetworkStream(_socket));
        await _tls.AuthenticateAsClientAsync(
            options ?? new SslClientAuthenticationOptions { TargetHost = "localhost", RemoteCertificateValidationCallback = (_, _, _, _) => true },
            limit.Token);
    }

    public RawClient Startup(string database, string user, params (string Name, string Value)[] parameters)
    {
        _out.StartupMessage(user, database, parameters.Select(p => new KeyValuePair<string, string>(p.Name, p.Value)));
        return this;
    }

    /// <summary>A startup packet of a minor version of protocol 3.</summary>
    public RawClient Startup(int minor, string database, string user)
    {
        _out.StartupMessage(ProtocolCode.Version30 | minor, user, database, null);
        return this;
    }

    public RawClient Query(string sql)
    {
        _out.Query(sql);
        return this;
    }

    public RawClient Parse(string statement, string sql)
    {
        _out.Parse(statement, sql);
        return this;
    }

    public RawClient Bind(string statement, params string?[] parameters) => BindPortal("", statement, parameters);

    public RawClient BindPortal(string portal, string statement, params string?[] parameters)
    {
        _out.Bind(portal, statement, parameters);
        return this;
    }

    public RawClient Execute(string portal = "", int rows = 0)
    {
        _out.Execute(portal, rows);
        return this;
    }

    public RawClient Describe(string statement)
    {
        _out.DescribeStatement(statement);
        return this;
    }

    public RawClient DescribePortal(string portal = "")
    {
        _out.DescribePortal(portal);
        return this;
    }

    public RawClient Close(string statement)
    {
        _out.CloseStatement(statement);
        return this;
    }

    public RawClient Sync()
    {
        _out.Sync();
        return this;
    }

    public RawClient Flush()
    {
        _out.Flush();
        return this;
    }

    public RawClient CopyData(string data)
    {
        _out.Begin(Frontend.CopyData).Text(data).End();
        return this;
    }

    public RawClient CopyDone()
    {
        _out.Begin(Frontend.CopyDone).End();
        return this;
    }

    /// <summary>A standby's status update inside a CopyBoth stream: nothing written, flushed or applied yet.</summary>
    public RawClient StatusUpdate()
    {
        _out.Begin(Frontend.CopyData).Byte((byte)'r').Bytes(new byte[33]).End();
        return this;
    }

    public RawClient CopyFail(string why)
    {
        _out.Begin(Frontend.CopyFail).CString(why).End();
        return this;
    }

    /// <summary>Calls a function with arguments in text form, and wants its result in text form.</summary>
    public RawClient FunctionCall(int oid, params string[] arguments)
    {
        _out.Begin(Frontend.FunctionCall).Int32(oid).Int16(0).Int16((short)arguments.Length);
        foreach (var argument in arguments) _out.Cell(argument);
        _out.Int16(0).End();
        return this;
    }

    public RawClient Terminate()
    {
        _out.Terminate();
        return this;
    }

    public RawClient Bytes(params byte[] bytes)
    {
        _out.Bytes(bytes);
        return this;
    }

    /// <summary>What has been gathered and not been sent.</summary>
    public byte[] TakeGathered()
    {
        var bytes = _out.Written.ToArray();
        _out.Clear();
        return bytes;
    }

    public async Task SendAsync()
    {
        await SendAsync(TakeGathered());
    }

    /// <summary>Sends bytes as they are.</summary>
    public async Task SendAsync(byte[] bytes)
    {
        using var limit = new CancellationTokenSource(Deadline);
        if (_tls is not null)
        {
            await _tls.WriteAsync(bytes, limit.Token);
            return;
        }
        for (var sent = 0; sent < bytes.Length;) sent += await _socket.SendAsync(bytes.AsMemory(sent), limit.Token);
    }

    /// <summary>The next message, or null at the end of the stream.</summary>
    public async Task<RawMessage?> ReadAsync()
    {
        while (true)
        {
            if (_end - _start >= 5)
            {
                var length = BinaryPrimitives.ReadInt32BigEndian(_in.AsSpan(_start + 1)) + 1;
                if (_end - _start >= length)
                {
                    var message = new RawMessage((char)_in[_start], _in.AsSpan(_start + 5, length - 5).ToArray());
                    _start += length;
                    Note(message);
                    return message;
                }
            }
            if (!await ReceiveAsync()) return null;
        }
    }

    /// <summary>Untyped bytes, such as the answer to an encryption request.</summary>
    public async Task<byte> ReadByteAsync()
    {
        while (_end == _start)
            if (!await ReceiveAsync()) throw new EndOfStreamException();
        return _in[_start++];
    }

    /// <summary>All messages up to ReadyForQuery, or up to the end of the stream.</summary>
    public async Task<List<RawMessage>> ReadToReadyAsync(int readies = 1)
    {
        var messages = new List<RawMessage>();
        while (await ReadAsync() is { } message)
        {
            messages.Add(message);
            if (message.Type == 'Z' && --readies == 0) break;
        }
        return messages;
    }

    /// <summary>All messages up to one of that type, which must come.</summary>
    public async Task<List<RawMessage>> ReadToAsync(char type)
    {
        var messages = new List<RawMessage>();
        while (await ReadAsync() is { } message)
        {
            messages.Add(message);
            if (message.Type == type) return messages;
        }
        throw new EndOfStreamException($"The stream ended before a {type}: {Transcript(messages)}");
    }

    /// <summary>Sends what is gathered; the answers up to so many ReadyForQuery in short form.</summary>
    public async Task<string> AskAsync(int readies = 1)
    {
        await SendAsync();
        return Transcript(await ReadToReadyAsync(readies));
    }

    /// <summary>The first column of the first row that a simple query returns.</summary>
    public async Task<string?> ScalarAsync(string sql)
    {
        Query(sql);
        await SendAsync();
        var messages = await ReadToReadyAsync();
        if (messages.Count == 0 || messages[^1].Type != 'Z' || messages.Any(m => m.Type == 'E'))
            throw new InvalidOperationException($"{sql}: {Transcript(messages)}");
        return messages.FirstOrDefault(m => m.Type == 'D')?.Cells()[0];
    }

    /// <summary>Whether the other side has ended the stream; reads what there is before.</summary>
    public async Task<List<RawMessage>> ReadToEndAsync()
    {
        var messages = new List<RawMessage>();
        try
        {
            while (await ReadAsync() is { } message) messages.Add(message);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            // An end as well.
        }
        return messages;
    }

    /// <summary>Sends a cancel request over a connection of its own, and waits until the other side closes it.</summary>
    public async Task CancelAsync(EndPoint endPoint)
    {
        using var canceller = await BeginCancelAsync(endPoint);
        await canceller.ReadToEndAsync();
    }

    /// <summary>Sends a cancel request over a connection of its own; nothing but its end comes back.</summary>
    public async Task<RawClient> BeginCancelAsync(EndPoint endPoint)
    {
        var canceller = await ConnectAsync(endPoint);
        canceller._out.CancelRequest(Cancellation.ProcessId, Cancellation.Key);
        await canceller.SendAsync();
        return canceller;
    }

    /// <summary>Ends the connection without a word, with a reset instead of an end of stream.</summary>
    public void Abort()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Close();
    }

    /// <summary>Ends the sending half only.</summary>
    public void HalfClose() => _socket.Shutdown(SocketShutdown.Send);

    /// <summary>The port it connects from.</summary>
    public int LocalPort => ((IPEndPoint)_socket.LocalEndPoint!).Port;

    public void Dispose() => _socket.Dispose();

    /// <summary>Messages in short form; asynchronous ones (parameters, notices) are left out.</summary>
    public static string Transcript(IEnumerable<RawMessage> messages) =>
        string.Join(' ', messages.Where(m => m.Type is not ('S' or 'N')).Select(m => m.ToString()));

    private void Note(RawMessage message)
    {
        var reader = new MessageReader(message.Body);
        switch (message.Type)
        {
            case 'S' when reader.TryReadCString(out var name) && reader.TryReadCString(out var value):
                Parameters[Encoding.UTF8.GetString(name)] = Encoding.UTF8.GetString(value);
                break;
            case 'K' when reader.TryReadInt32(out var processId):
                Cancellation = (processId, reader.Rest.ToArray());
                break;
        }
    }

    private async Task<bool> ReceiveAsync()
    {
        if (_start > 0)
        {
            _in.AsSpan(_start, _end - _start).CopyTo(_in);
            _end -= _start;
            _start = 0;
        }
        if (_end == _in.Length) Array.Resize(ref _in, _in.Length * 2);
        using var limit = new CancellationTokenSource(Deadline);
        int received;
        try
        {
            received = _tls is null
                ? await _socket.ReceiveAsync(_in.AsMemory(_end), limit.Token)
                : await _tls.ReadAsync(_in.AsMemory(_end), limit.Token);
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"Nothing was received for {Deadline}.");
        }
        _end += received;
        return received > 0;
    }
}

/// <summary>A message as received.</summary>
internal sealed record RawMessage(char Type, byte[] Body)
{
    /// <summary>The cells of a DataRow, as text.</summary>
    public string?[] Cells()
    {
        var reader = new MessageReader(Body);
        reader.TryReadInt16(out var count);
        var cells = new string?[count];
        for (var i = 0; i < count; i++)
        {
            reader.TryReadInt32(out var length);
            if (length < 0) continue;
            reader.TryReadBytes(length, out var bytes);
            cells[i] = Encoding.UTF8.GetString(bytes);
        }
        return cells;
    }

    /// <summary>A field of an ErrorResponse or NoticeResponse: S severity, C code, M message …</summary>
    public string Field(char field)
    {
        foreach (var part in Encoding.UTF8.GetString(Body).Split('\0'))
            if (part.Length > 0 && part[0] == field) return part[1..];
        return "";
    }

    public override string ToString() => Type switch
    {
        'D' => $"D({string.Join('|', Cells().Select(c => c is null ? "NULL" : c.Length > 40 ? $"{c.Length} characters" : c))})",
        'C' => $"C({Text})",
        'E' => $"E({Field('C')})",
        'Z' => $"Z({(char)Body[0]})",
        'A' => $"A({Text[4..].Replace('\0', ':')})",
        _ => Type.ToString(),
    };

    /// <summary>The body as text.</summary>
    public string Text => Encoding.UTF8.GetString(Body).TrimEnd('\0');
}
