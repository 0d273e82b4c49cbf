using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Auth;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Handover;

/// <summary>
/// The running process that a new one takes over from (option <c>-R</c>): found by the Unix socket of the configuration,
/// where it lets its own user in without a password. It may be a PgBouncer.
/// </summary>
public sealed class Predecessor : IDisposable
{
    /// <summary>For each answer of the running process: it serves clients meanwhile, and may be busy.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly PgBouncerHandover? _pgBouncer;
    private readonly HandoverChannel _channel = null!;
    private readonly HelloState _hello;
    private readonly List<(EndPoint EndPoint, Socket Socket)> _listening = [];
    private EngineCore? _core;
    private CancelPassage? _cancels;

    private Predecessor(PgBouncerHandover pgBouncer)
    {
        _pgBouncer = pgBouncer;
        _hello = new HelloState(pgBouncer.ProcessId, []);
        _listening.AddRange(pgBouncer.TakeListening());
    }

    private Predecessor(HandoverChannel channel, Frame hello)
    {
        _channel = channel;
        _hello = HelloState.Read(hello.Body);
        if (_hello.Listening.Length != hello.Descriptors.Length)
            throw new HandoverException($"{_hello.Listening.Length} addresses with {hello.Descriptors.Length} sockets");
        for (var i = 0; i < _hello.Listening.Length; i++)
            _listening.Add((_hello.Listening[i], new Socket(new SafeSocketHandle(hello.Descriptors[i], ownsHandle: true))));
    }

    /// <summary>Its process id.</summary>
    public int ProcessId => _hello.ProcessId;

    /// <summary>Looks for the running process, and asks it to hand over. Nothing changes there yet.</summary>
    /// <returns>Null when there is none.</returns>
    /// <exception cref="PoolerStartException">There is one that does not, or there cannot be one.</exception>
    public static Predecessor? Find(PoolerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        if (!OperatingSystem.IsLinux()) throw new PoolerStartException("-R works on Linux only");
        if (settings.UnixSocketDir.Length == 0) throw new PoolerStartException("cannot reboot if unix dir not configured (unix_socket_dir)");
        if (settings.ListenPort == 0) throw new PoolerStartException("cannot reboot with listen_port = 0: the running process is found by the port");
        Socket? socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(UnixAddress.Of(settings.UnixSocketDir, settings.ListenPort));
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.AddressNotAvailable)
        {
            socket.Dispose();
            return null;
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            socket.Dispose();
            throw new PoolerStartException($"cannot connect to the running process: {e.Message} (unix_socket_dir, listen_port)", e);
        }
        HandoverChannel? channel = null;
        try
        {
            CheckOwner(PeerCredentials.Of(socket)?.UserId, SystemUsers.OwnId!.Value);
            socket.ReceiveTimeout = socket.SendTimeout = (int)Limit.TotalMilliseconds;
            if (!AskToHandOver(socket))
            {
                var pgBouncer = new Predecessor(PgBouncerHandover.Begin(socket));
                socket = null;
                return pgBouncer;
            }
            channel = new HandoverChannel(Libc.Duplicate((int)socket.SafeHandle.DangerousGetHandle()));
            return new Predecessor(channel, channel.Expect(FrameKind.Hello, Limit));
        }
        catch (Exception e) when (e is HandoverException or SocketException or IOException)
        {
            channel?.Dispose();
            throw new PoolerStartException($"the running process does not hand over: {e.Message}", e);
        }
        finally
        {
            socket?.Dispose();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var (_, socket) in _listening) socket.SafeHandle.Dispose();
        _listening.Clear();
        if (_pgBouncer is not null) _pgBouncer.Dispose();
        else _channel.Dispose();
    }

    /// <summary>The socket that listens on an address; port 0 means any. Whoever takes it owns it.</summary>
    internal Socket? TakeListening(EndPoint wanted)
    {
        var index = _listening.FindIndex(l => wanted is IPEndPoint { Port: 0 } any
            ? l.EndPoint is IPEndPoint there && there.Address.Equals(any.Address)
            : l.EndPoint.ToString() == wanted.ToString());
        if (index < 0) return null;
        var socket = _listening[index].Socket;
        _listening.RemoveAt(index);
        return socket;
    }

    /// <summary>Takes everything over. Before the loops run; nothing goes on before they do.</summary>
    /// <exception cref="HandoverException">It failed, and the running process goes on with all it had.</exception>
    internal void TakeOver(EngineCore core, LoopGroup group)
    {
        var arrivals = new Arrivals(core, group);
        var frames = new List<Frame>();
        try
        {
            if (_pgBouncer is not null)
            {
                arrivals.Take(_pgBouncer.Frames(core));
                _pgBouncer.Finish();
                core.Log.TakenOver(ProcessId, arrivals.Clients, arrivals.Servers);
                return;
            }
            _channel.Send(FrameKind.Begin, BitConverter.GetBytes(Environment.ProcessId), Limit);
            EndState? end = null;
            while (end is null)
            {
                var frame = _channel.Receive(Limit) ?? throw new HandoverException("the running process has broken it off");
                if (frame.Kind == FrameKind.End) end = EndState.Read(frame.Body);
                else frames.Add(frame);
            }
            core.StartIdsAfter(end.LastId);
            arrivals.Take(frames);
            foreach (var name in end.DisabledDatabases)
                if (core.Directory.FindDatabase(name) is { } database) database.Disabled = true;
            _channel.Send(FrameKind.Commit, Limit);
            _channel.Expect(FrameKind.Committed, Limit);
        }
        catch (Exception e)
        {
            arrivals.Abandon();
            throw e as HandoverException ?? new HandoverException(e.Message, e);
        }
        foreach (var pool in core.Directory.Pools) pool.CloseServers("database configuration changed", static server => server.CloseNeeded);
        _core = core;
        _cancels = new CancelPassage(_channel, Limit);
        core.PassCancelOn = _cancels.TryPass;
        core.Log.TakenOver(ProcessId, arrivals.Clients, arrivals.Servers);
        foreach (var (_, socket) in _listening) socket.SafeHandle.Dispose();
        _listening.Clear();
        new Thread(() => ReadOn(new Arrivals(core, group))) { Name = "pooler-takeover", IsBackground = true }.Start();
    }

    private void ReadOn(Arrivals arrivals)
    {
        try
        {
            while (_channel.Receive(Timeout.InfiniteTimeSpan) is { } frame) arrivals.TakeLate(frame);
        }
        catch (HandoverException e)
        {
            _core!.Log.ArrivalFailed(e.Message);
        }
        _core!.PassCancelOn = null;
        _cancels!.Dispose();
        _core.Log.PredecessorEnded(ProcessId);
    }

    /// <summary>
    /// Refuses a stranger: what it sends would become our sockets and clients, and in a directory that others may write to
    /// anybody can have made the socket first.
    /// </summary>
    /// <param name="peer">Who has made the socket listen; null when the system does not tell.</param>
    /// <param name="own">Our user.</param>
    /// <exception cref="PoolerStartException">It is neither ours nor root's.</exception>
    internal static void CheckOwner(uint? peer, uint own)
    {
        if (peer == own || peer == 0) return;
        var owner = peer is null ? "an unknown user" : $"user id {peer}";
        throw new PoolerStartException($"cannot take over: the process that listens on the Unix socket is run by {owner}, not by ours ({own}) or root (unix_socket_dir)");
    }

    /// <summary>False when it is a PgBouncer, which knows no such command.</summary>
    private static bool AskToHandOver(Socket socket)
    {
        var writer = new MessageWriter();
        writer.StartupMessage(EngineCore.ConsoleDatabase, EngineCore.ConsoleDatabase, []);
        Ask(socket, writer);
        writer.Clear();
        writer.Query(ConsoleCommand);
        try
        {
            Ask(socket, writer);
            return true;
        }
        catch (HandoverException e) when (e.Message.StartsWith("invalid command", StringComparison.Ordinal))
        {
            // Behind an error there is a ReadyForQuery.
            Fill(socket, new byte[6]);
            return false;
        }
    }

    /// <summary>What the console of the running process is told; it is not for people.</summary>
    internal const string ConsoleCommand = "TAKEOVER";

    /// <summary>Sends, and reads on to ReadyForQuery, byte by byte where more could be read than is meant for here.</summary>
    private static void Ask(Socket socket, MessageWriter writer)
    {
        socket.Send(writer.Written);
        var header = new byte[5];
        while (true)
        {
            Fill(socket, header);
            var length = System.Buffers.Binary.BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(1)) - 4;
            if (length is < 0 or > 64 * 1024) throw new HandoverException("it does not speak the protocol");
            var body = new byte[length];
            Fill(socket, body);
            switch (header[0])
            {
                case Backend.ErrorResponse:
                    throw new HandoverException(ErrorFields.Read(body).Message);
                case Backend.Authentication when length < 4 || body.AsSpan(0, 4).IndexOfAnyExcept((byte)0) >= 0:
                    throw new HandoverException("it asks for a password; is it run by the same user?");
                case Backend.ReadyForQuery:
                    return;
            }
        }
    }

    private static void Fill(Socket socket, Span<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            var count = socket.Receive(buffer);
            if (count == 0) throw new HandoverException("it has closed the connection");
            buffer = buffer[count..];
        }
    }
}
