using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Pooler.Engine.Auth;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Handover;

/// <summary>
/// Takes over from a running PgBouncer, as its own next version would: SUSPEND, then SHOW FDS, whose rows come with the
/// sockets, then SHUTDOWN (PgBouncer's src/takeover.c). Its rows tell less than our own processes tell each other: clients
/// lose the prepared statements that the pooler had for them, and their application_name; TLS clients are dropped by it.
/// </summary>
internal sealed class PgBouncerHandover
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly Socket _console;
    private readonly List<Row> _rows = [];

    private PgBouncerHandover(Socket console) => _console = console;

    private int Descriptor => (int)_console.SafeHandle.DangerousGetHandle();

    public int ProcessId => Libc.PeerOf(Descriptor)?.ProcessId ?? 0;

    /// <summary>Has it stand still, and gets its sockets. When the connection is closed instead of going on, it resumes.</summary>
    public static PgBouncerHandover Begin(Socket console)
    {
        var handover = new PgBouncerHandover(console);
        handover.Ask("SUSPEND;");
        handover.Ask("SHOW FDS;");
        return handover;
    }

    /// <summary>The sockets that it listens on; whoever takes them owns them.</summary>
    public IEnumerable<(EndPoint EndPoint, Socket Socket)> TakeListening()
    {
        foreach (var row in _rows.Where(r => r["task"] == "pooler"))
        {
            var socket = new Socket(new SafeSocketHandle(row.Descriptor, ownsHandle: true));
            yield return (socket.LocalEndPoint!, socket);
        }
        _rows.RemoveAll(r => r["task"] == "pooler");
    }

    /// <summary>Its clients, with the servers that they are linked to. Idle servers are not worth it: nobody knows what they have been told.</summary>
    public List<Frame> Frames(EngineCore core)
    {
        var frames = new List<Frame>();
        var servers = _rows.Where(r => r["task"] == "server").ToDictionary(r => r.Number("fd"));
        foreach (var row in _rows.Where(r => r["task"] == "client"))
        {
            if (row["database"] is not { } database || row["user"] is not { } user || FindPool(core, database, user) is not { } pool)
            {
                // Not logged in yet, or of a database that is gone.
                Libc.close(row.Descriptor);
                continue;
            }
            if (row.Keys is { } keys) pool.User.RestoreKeys(keys);
            var writer = new StateWriter();
            var isLinked = servers.Remove(row.Number("link"), out var server);
            ClientOf(core, row, pool, user, isLinked).WriteTo(writer);
            if (isLinked)
            {
                ServerOf(core, server!, pool).WriteTo(writer);
                frames.Add(new Frame(FrameKind.Pair, writer.Written.ToArray(), [row.Descriptor, server!.Descriptor]));
            }
            else
            {
                frames.Add(new Frame(FrameKind.Client, writer.Written.ToArray(), [row.Descriptor]));
            }
        }
        foreach (var idle in servers.Values) Libc.close(idle.Descriptor);
        return frames;
    }

    /// <summary>Ends it; it leaves the sockets alone then. Its pidfile is gone when this returns.</summary>
    public void Finish()
    {
        Send("SHUTDOWN;");
        var buffer = new byte[1024];
        try
        {
            while (_console.Receive(buffer) > 0)
            {
            }
        }
        catch (SocketException)
        {
            // Its end as well.
        }
        _console.Dispose();
    }

    public void Dispose()
    {
        foreach (var row in _rows) Libc.close(row.Descriptor);
        _rows.Clear();
        _console.Dispose();
    }

    private static Pool? FindPool(EngineCore core, string databaseName, string userName)
    {
        var database = core.Directory.FindDatabase(databaseName);
        return database is null || database.Removed ? null : core.Directory.GetPool(database, core.Directory.FindUser(userName) ?? core.Directory.AddUser(userName));
    }

    private static ClientHandover ClientOf(EngineCore core, Row row, Pool pool, string user, bool isLinked) => new()
    {
        Id = core.NextServerId(),
        Database = pool.Database.Name,
        PoolUser = pool.User.Name,
        LoginUser = user,
        CancelKey = row.Key,
        ConnectedAt = core.TimeProvider.GetUtcNow(),
        Address = row["addr"] ?? "unix",
        Port = (int)row.Number("port"),
        Mode = pool.Mode,
        StartupParameters = row.Parameters,
        Parameters = row.Parameters,
        // A query may be running: until its ReadyForQuery its server is not fit for anybody else.
        InBatch = isLinked,
        Buffers = new BufferState([], []),
    };

    private static ServerHandover ServerOf(EngineCore core, Row row, Pool pool) => new()
    {
        Id = core.NextServerId(),
        Database = pool.Database.Name,
        PoolUser = pool.User.Name,
        Host = pool.Database.Settings.Host ?? "",
        HostPort = pool.Database.Settings.Port,
        Target = Libc.EndPointOf(row.Descriptor, remote: true) ?? throw new HandoverException("a server that is gone"),
        ConnectedAt = core.TimeProvider.GetUtcNow(),
        Age = 0,
        WasUsed = true,
        BackendPid = BinaryPrimitives.ReadInt32BigEndian(row.Key),
        BackendKey = row.Key[4..],
        // Whether it is in a transaction or in a query, the next ReadyForQuery tells; until then it stays with its client.
        TransactionStatus = TransactionStatus.InTransaction,
        Parameters = row.Parameters,
        Reported = row.Parameters,
        Buffers = new BufferState([], []),
    };

    private void Ask(string command)
    {
        Send(command);
        string[] columns = [];
        var descriptors = new List<int>();
        var taken = 0;
        var data = new byte[64 * 1024];
        var length = 0;
        while (true)
        {
            if (Libc.Poll(Descriptor, Libc.PollIn, (int)Limit.TotalMilliseconds) <= 0) throw new HandoverException($"it does not answer {command}");
            var received = Libc.ReceiveWithDescriptors(Descriptor, data.AsSpan(length), descriptors);
            if (received <= 0) throw new HandoverException($"it has closed the connection during {command}");
            length += received;
            var pos = 0;
            while (length - pos >= 5)
            {
                var size = BinaryPrimitives.ReadInt32BigEndian(data.AsSpan(pos + 1)) + 1;
                if (size < 5 || size > data.Length) throw new HandoverException("it does not speak the protocol");
                if (length - pos < size) break;
                var body = data.AsSpan(pos + 5, size - 5);
                switch (data[pos])
                {
                    case Backend.ErrorResponse:
                        throw new HandoverException(ErrorFields.Read(body).Message);
                    case Backend.RowDescription:
                        columns = ColumnsOf(body);
                        break;
                    case Backend.DataRow:
                        if (taken == descriptors.Count) throw new HandoverException("a row without its socket");
                        _rows.Add(Row.Read(columns, body, descriptors[taken++]));
                        break;
                    case Backend.ReadyForQuery:
                        return;
                }
                pos += size;
            }
            data.AsSpan(pos, length - pos).CopyTo(data);
            length -= pos;
        }
    }

    private void Send(string command)
    {
        var writer = new MessageWriter();
        writer.Query(command);
        _console.Send(writer.Written);
    }

    private static string[] ColumnsOf(ReadOnlySpan<byte> body)
    {
        var reader = new MessageReader(body);
        reader.TryReadInt16(out var count);
        var names = new List<string>();
        for (var i = 0; i < count; i++)
        {
            // Behind the name: table, column, type, length, modifier, format.
            if (!reader.TryReadCString(out var name) || !reader.TryReadBytes(18, out _)) throw new HandoverException("a broken description");
            names.Add(Encoding.UTF8.GetString(name));
        }
        return [.. names];
    }

    private sealed record Row(Dictionary<string, string?> Cells, int Descriptor)
    {
        public string? this[string column] => Cells.GetValueOrDefault(column);

        /// <summary>The cancel key: for a server, what its backend gave.</summary>
        public byte[] Key
        {
            get
            {
                var key = new byte[8];
                var text = this["cancel"] ?? "";
                if (ulong.TryParse(text, CultureInfo.InvariantCulture, out var unsigned)) BinaryPrimitives.WriteUInt64BigEndian(key, unsigned);
                else if (long.TryParse(text, CultureInfo.InvariantCulture, out var signed)) BinaryPrimitives.WriteInt64BigEndian(key, signed);
                return key;
            }
        }

        public ScramKeys? Keys =>
            BytesOf("scram_client_key") is { Length: ScramKeys.Length } client && BytesOf("scram_server_key") is { Length: ScramKeys.Length } server
                ? new ScramKeys(client, server)
                : null;

        public SessionParameters Parameters
        {
            get
            {
                var parameters = SessionParameters.Empty;
                foreach (var (column, name) in new[]
                    { ("client_encoding", "client_encoding"), ("std_strings", "standard_conforming_strings"), ("datestyle", "DateStyle"), ("timezone", "TimeZone") })
                    if (this[column] is { Length: > 0 } value) parameters = parameters.With(name, value);
                return parameters;
            }
        }

        public long Number(string column) => long.TryParse(this[column], CultureInfo.InvariantCulture, out var number) ? number : 0;

        public static Row Read(string[] columns, ReadOnlySpan<byte> body, int descriptor)
        {
            var reader = new MessageReader(body);
            if (!reader.TryReadInt16(out var count) || count != columns.Length) throw new HandoverException("a row that is not as described");
            var cells = new Dictionary<string, string?>();
            foreach (var column in columns)
            {
                if (!reader.TryReadInt32(out var length)) throw new HandoverException("a broken row");
                ReadOnlySpan<byte> cell = default;
                if (length >= 0 && !reader.TryReadBytes(length, out cell)) throw new HandoverException("a broken row");
                cells[column] = length < 0 ? null : Encoding.UTF8.GetString(cell);
            }
            return new Row(cells, descriptor);
        }

        private byte[]? BytesOf(string column)
        {
            try
            {
                return this[column] is { } text && text.StartsWith("\\x", StringComparison.Ordinal) ? Convert.FromHexString(text.AsSpan(2)) : null;
            }
            catch (FormatException)
            {
                return null;
            }
        }
    }
}
