using System.Net;
using Pooler.Engine.Configuration;
using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;

namespace Pooler.Engine.Handover;

// What one process tells another about each of its connections. Times are ages in microseconds at the moment of writing:
// the clocks of two processes need not agree. Whoever changes a layout counts HelloState.CurrentVersion up, and reads the
// old one as well: it is the newer program that reads.

/// <summary>The first word: who hands over, and the sockets that it listens on, whose descriptors come along in this order.</summary>
internal sealed record HelloState(int ProcessId, EndPoint[] Listening)
{
    public const int CurrentVersion = 1;

    public void WriteTo(StateWriter writer) => writer
        .Int32(CurrentVersion).Int32(ProcessId)
        .List(Listening, static (w, endPoint) => w.EndPoint(endPoint));

    public static HelloState Read(ReadOnlySpan<byte> bytes)
    {
        var reader = new StateReader(bytes);
        if (reader.Int32() is var version and not CurrentVersion)
            throw new HandoverException($"the running process hands over in version {version} of the format, and this program knows {CurrentVersion}");
        var state = new HelloState(reader.Int32(), reader.List(static (ref StateReader r) => r.EndPoint()));
        reader.End();
        return state;
    }
}

/// <summary>The last word before the new process goes on.</summary>
/// <param name="LastId">The last number that was given to a connection.</param>
/// <param name="DisabledDatabases">What DISABLE holds for at this moment.</param>
internal sealed record EndState(long LastId, string[] DisabledDatabases)
{
    public void WriteTo(StateWriter writer) => writer.Int64(LastId).List(DisabledDatabases, static (w, name) => w.Text(name));

    public static EndState Read(ReadOnlySpan<byte> bytes)
    {
        var reader = new StateReader(bytes);
        var state = new EndState(reader.Count(), reader.List(static (ref StateReader r) => r.Text()));
        reader.End();
        return state;
    }
}

/// <summary>A prepared statement under the number that it has in the names on servers.</summary>
internal sealed record StatementState(long Id, byte[] Definition)
{
    public void WriteTo(StateWriter writer) => writer.Int64(Id).Bytes(Definition);

    public static StatementState Read(ReadOnlySpan<byte> bytes)
    {
        var reader = new StateReader(bytes);
        var state = new StatementState(reader.Count(), reader.Bytes());
        reader.End();
        return state;
    }
}

/// <summary>What a pool knows that its successor would have to find out anew.</summary>
internal sealed record PoolState
{
    public required string Database { get; init; }

    public required string User { get; init; }

    /// <summary>Stands for all settings that decide which server is reached, and how: servers reached by others are replaced.</summary>
    public required byte[] Way { get; init; }

    /// <summary>Null before a first server has logged in.</summary>
    public KeyValuePair<string, string>[]? Welcome { get; init; }

    public SessionParameters Tracked { get; init; } = SessionParameters.Empty;

    /// <summary>A secret that was found out for a client of this pool.</summary>
    public string? FoundSecret { get; init; }

    public bool FoundSecretIsPlain { get; init; }

    /// <summary>Keys that go with it: client key, then server key.</summary>
    public byte[]? FoundKeys { get; init; }

    /// <summary>The same of the pool's user, from logins with a secret that the configuration has.</summary>
    public byte[]? UserKeys { get; init; }

    public PoolTotals Totals { get; init; }

    public void WriteTo(StateWriter writer)
    {
        writer.Text(Database).Text(User).Bytes(Way).Bool(Welcome is not null);
        if (Welcome is not null) writer.Pairs(Welcome).Parameters(Tracked);
        writer.OptionalText(FoundSecret).Bool(FoundSecretIsPlain).OptionalBytes(FoundKeys).OptionalBytes(UserKeys);
        var t = Totals;
        writer.List<long>(
            [t.ServerAssignments, t.Transactions, t.Queries, t.BytesReceived, t.BytesSent, t.TransactionTime, t.QueryTime, t.WaitTime,
                t.ClientParses, t.ServerParses, t.Binds, t.Logins], static (w, n) => w.Int64(n));
    }

    public static PoolState Read(ReadOnlySpan<byte> bytes)
    {
        var reader = new StateReader(bytes);
        var (database, user, way) = (reader.Text(), reader.Text(), reader.Bytes());
        KeyValuePair<string, string>[]? welcome = null;
        var tracked = SessionParameters.Empty;
        if (reader.Bool()) (welcome, tracked) = (reader.Pairs(), reader.Parameters());
        var state = new PoolState
        {
            Database = database,
            User = user,
            Way = way,
            Welcome = welcome,
            Tracked = tracked,
            FoundSecret = reader.OptionalText(),
            FoundSecretIsPlain = reader.Bool(),
            FoundKeys = Keys(reader.OptionalBytes()),
            UserKeys = Keys(reader.OptionalBytes()),
        };
        var n = reader.List(static (ref StateReader r) => r.Int64());
        reader.End();
        if (n.Length != 12) throw new HandoverException($"{n.Length} counters");
        return state with { Totals = new PoolTotals(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11]) };
    }

    private static byte[]? Keys(byte[]? keys) =>
        keys is null or { Length: 2 * Auth.ScramKeys.Length } ? keys : throw new HandoverException($"SCRAM keys of {keys.Length} bytes");
}

/// <summary>Bytes between the process and a peer: received and not dealt with, and to be sent and not taken.</summary>
internal readonly record struct BufferState(byte[] Kept, byte[] Pending)
{
    public void WriteTo(StateWriter writer) => writer.Bytes(Kept).Bytes(Pending);

    public static BufferState Read(ref StateReader reader) => new(reader.Bytes(), reader.Bytes());
}

/// <summary>A logged-in client, in whatever it is in the middle of.</summary>
internal sealed record ClientHandover
{
    public required long Id { get; init; }

    public required string Database { get; init; }

    public required string PoolUser { get; init; }

    public required string LoginUser { get; init; }

    public required byte[] CancelKey { get; init; }

    public required DateTimeOffset ConnectedAt { get; init; }

    public required string Address { get; init; }

    public required int Port { get; init; }

    public required PoolMode Mode { get; init; }

    public required SessionParameters StartupParameters { get; init; }

    public required SessionParameters Parameters { get; init; }

    /// <summary>The client's names for its prepared statements, with their definitions.</summary>
    public (byte[] Name, byte[] Definition)[] Statements { get; init; } = [];

    public long IdleFor { get; init; }

    /// <summary>How long it has been waiting for a server; 0: it is not.</summary>
    public long WaitedFor { get; init; }

    public bool NotifiedOfWait { get; init; }

    /// <summary>Since when the request in flight is; 0: none is.</summary>
    public long RequestAge { get; init; }

    public long TransactionAge { get; init; }

    public bool InBatch { get; init; }

    public bool CopyingIn { get; init; }

    public bool CopyDataSent { get; init; }

    public bool AwaitsAnswers { get; init; }

    public string? Setup { get; init; }

    public long Passing { get; init; }

    public bool Dropping { get; init; }

    public required BufferState Buffers { get; init; }

    public void WriteTo(StateWriter writer)
    {
        writer.Int64(Id).Text(Database).Text(PoolUser).Text(LoginUser).Bytes(CancelKey).Int64(ConnectedAt.UtcTicks).Text(Address).Int32(Port)
            .Byte((byte)Mode).Parameters(StartupParameters).Parameters(Parameters)
            .List(Statements, static (w, s) => w.Bytes(s.Name).Bytes(s.Definition))
            .Int64(IdleFor).Int64(WaitedFor).Bool(NotifiedOfWait).Int64(RequestAge).Int64(TransactionAge)
            .Bool(InBatch).Bool(CopyingIn).Bool(CopyDataSent).Bool(AwaitsAnswers).OptionalText(Setup).Int64(Passing).Bool(Dropping);
        Buffers.WriteTo(writer);
    }

    public static ClientHandover Read(ref StateReader reader) => new()
    {
        Id = reader.Count(),
        Database = reader.Text(),
        PoolUser = reader.Text(),
        LoginUser = reader.Text(),
        CancelKey = reader.Bytes() is { Length: >= 8 and <= 256 } key ? key : throw new HandoverException("a cancel key of an impossible length"),
        ConnectedAt = ReadTime(ref reader),
        Address = reader.Text(),
        Port = reader.Int32(),
        Mode = reader.Enum<PoolMode>(),
        StartupParameters = reader.Parameters(),
        Parameters = reader.Parameters(),
        Statements = reader.List(static (ref StateReader r) => (r.Bytes(), r.Bytes())),
        IdleFor = reader.Count(),
        WaitedFor = reader.Count(),
        NotifiedOfWait = reader.Bool(),
        RequestAge = reader.Count(),
        TransactionAge = reader.Count(),
        InBatch = reader.Bool(),
        CopyingIn = reader.Bool(),
        CopyDataSent = reader.Bool(),
        AwaitsAnswers = reader.Bool(),
        Setup = reader.OptionalText(),
        Passing = reader.Count(),
        Dropping = reader.Bool(),
        Buffers = BufferState.Read(ref reader),
    };

    internal static DateTimeOffset ReadTime(ref StateReader reader)
    {
        var ticks = reader.Int64();
        return ticks >= 0 && ticks <= DateTimeOffset.MaxValue.UtcTicks ? new DateTimeOffset(ticks, TimeSpan.Zero) : throw new HandoverException("a time that is none");
    }
}

/// <summary>What a server has still to answer; statements by their number, 0 for none.</summary>
internal readonly record struct RequestState(RequestKind Kind, long Statement, byte[]? ClientName);

/// <summary>A server connection that is idle, or linked to the client that it comes with.</summary>
internal sealed record ServerHandover
{
    public required long Id { get; init; }

    public required string Database { get; init; }

    public required string PoolUser { get; init; }

    public required string Host { get; init; }

    public required int HostPort { get; init; }

    public required EndPoint Target { get; init; }

    public required DateTimeOffset ConnectedAt { get; init; }

    public required long Age { get; init; }

    public long IdleFor { get; init; }

    /// <summary>0: it has not been given to a client since its login.</summary>
    public bool WasUsed { get; init; }

    public long LinkedFor { get; init; }

    public required int BackendPid { get; init; }

    public required byte[] BackendKey { get; init; }

    public required byte TransactionStatus { get; init; }

    public required SessionParameters Parameters { get; init; }

    public required SessionParameters Reported { get; init; }

    public RequestState[] Outstanding { get; init; } = [];

    /// <summary>Numbers of the statements it has prepared, least recently used first.</summary>
    public long[] Statements { get; init; } = [];

    public bool CloseNeeded { get; init; }

    public long Passing { get; init; }

    public bool Dropping { get; init; }

    public bool ToldFatal { get; init; }

    public required BufferState Buffers { get; init; }

    public void WriteTo(StateWriter writer)
    {
        writer.Int64(Id).Text(Database).Text(PoolUser).Text(Host).Int32(HostPort).EndPoint(Target).Int64(ConnectedAt.UtcTicks)
            .Int64(Age).Int64(IdleFor).Bool(WasUsed).Int64(LinkedFor).Int32(BackendPid).Bytes(BackendKey).Byte(TransactionStatus)
            .Parameters(Parameters).Parameters(Reported)
            .List(Outstanding, static (w, r) => w.Byte((byte)r.Kind).Int64(r.Statement).OptionalBytes(r.ClientName))
            .List(Statements, static (w, id) => w.Int64(id))
            .Bool(CloseNeeded).Int64(Passing).Bool(Dropping).Bool(ToldFatal);
        Buffers.WriteTo(writer);
    }

    public static ServerHandover Read(ref StateReader reader) => new()
    {
        Id = reader.Count(),
        Database = reader.Text(),
        PoolUser = reader.Text(),
        Host = reader.Text(),
        HostPort = reader.Int32(),
        Target = reader.EndPoint(),
        ConnectedAt = ClientHandover.ReadTime(ref reader),
        Age = reader.Count(),
        IdleFor = reader.Count(),
        WasUsed = reader.Bool(),
        LinkedFor = reader.Count(),
        BackendPid = reader.Int32(),
        BackendKey = reader.Bytes(),
        TransactionStatus = reader.Byte(),
        Parameters = reader.Parameters(),
        Reported = reader.Parameters(),
        Outstanding = reader.List(static (ref StateReader r) => new RequestState(r.Enum<RequestKind>(), r.Count(), r.OptionalBytes())),
        Statements = reader.List(static (ref StateReader r) => r.Count()),
        CloseNeeded = reader.Bool(),
        Passing = reader.Count(),
        Dropping = reader.Bool(),
        ToldFatal = reader.Bool(),
        Buffers = BufferState.Read(ref reader),
    };
}
