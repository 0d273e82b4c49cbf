using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Configuration;
using Pooler.Engine.Handover;
using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;
using Xunit;

namespace Pooler.UnitTests.Handover;

/// <summary>What is written for another process is read as it was, and garbage is refused whatever it is.</summary>
public sealed class HandoverStateTests
{
    private static readonly SessionParameters Some = SessionParameters.Empty.With("TimeZone", "Asia/Tokyo").With("application_name", "naïve ☃");

    private static ClientHandover Client { get; } = new()
    {
        Id = 17,
        Database = "shop",
        PoolUser = "app",
        LoginUser = "login",
        CancelKey = [1, 2, 3, 4, 5, 6, 7, 8],
        ConnectedAt = new DateTimeOffset(2026, 11, 22, 12, 0, 0, TimeSpan.Zero),
        Address = "127.0.0.1",
        Port = 40000,
        Mode = PoolMode.Session,
        StartupParameters = Some,
        Parameters = Some.With("DateStyle", "ISO, DMY"),
        Statements = [([(byte)'s'], [1, 2, 0]), ([], [0])],
        IdleFor = 1_000_000,
        WaitedFor = 5,
        NotifiedOfWait = true,
        RequestAge = 6,
        TransactionAge = 7,
        InBatch = true,
        CopyingIn = true,
        CopyDataSent = true,
        AwaitsAnswers = true,
        Setup = "SET x TO 'y';",
        Passing = long.MaxValue,
        Dropping = true,
        Buffers = new BufferState([1, 2, 3], [4]),
    };

    private static ServerHandover Server { get; } = new()
    {
        Id = 18,
        Database = "shop",
        PoolUser = "app",
        Host = "/run/postgresql",
        HostPort = 5432,
        Target = new UnixDomainSocketEndPoint("/run/postgresql/.s.PGSQL.5432"),
        ConnectedAt = new DateTimeOffset(2026, 11, 22, 12, 0, 0, TimeSpan.Zero),
        Age = 1,
        IdleFor = 2,
        WasUsed = true,
        LinkedFor = 3,
        BackendPid = -1,
        BackendKey = new byte[32],
        TransactionStatus = (byte)'T',
        Parameters = Some,
        Reported = SessionParameters.Empty,
        Outstanding = [new RequestState(RequestKind.ParseAlreadyDone, 9, [1]), new RequestState(RequestKind.Sync, 0, null)],
        Statements = [9, 8],
        CloseNeeded = true,
        Passing = 12,
        Dropping = true,
        ToldFatal = true,
        Buffers = new BufferState([], []),
    };

    private static PoolState Pool { get; } = new()
    {
        Database = "shop",
        User = "app",
        Way = new byte[32],
        Welcome = [new("server_version", "18"), new("TimeZone", "UTC")],
        Tracked = Some,
        FoundSecret = "SCRAM-SHA-256$…",
        FoundKeys = new byte[64],
        Totals = new PoolTotals(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
    };

    private static HelloState Hello { get; } = new(
        4711,
        [new IPEndPoint(IPAddress.Any, 6432), new IPEndPoint(IPAddress.IPv6Any, 6432), new UnixDomainSocketEndPoint("\0abstract/.s.PGSQL.6432")]);

    [Fact]
    public void A_client_is_read_as_it_was_written()
    {
        var read = ReadClient(Bytes(Client.WriteTo));
        Assert.Equivalent(Client, read, strict: true);
        Assert.Same(Client.Parameters, read.Parameters);
    }

    [Fact]
    public void A_server_is_read_as_it_was_written()
    {
        var read = ReadServer(Bytes(Server.WriteTo));
        Assert.Equivalent(Server with { Target = read.Target }, read, strict: true);
        Assert.Equal(Server.Target.ToString(), read.Target.ToString());
    }

    [Fact]
    public void A_pool_a_statement_and_the_first_word_are_read_as_they_were_written()
    {
        Assert.Equivalent(Pool, PoolState.Read(Bytes(Pool.WriteTo)), strict: true);
        var empty = new PoolState { Database = "", User = "", Way = [] };
        Assert.Equivalent(empty, PoolState.Read(Bytes(empty.WriteTo)), strict: true);
        var statement = new StatementState(3, [1, 0]);
        Assert.Equivalent(statement, StatementState.Read(Bytes(statement.WriteTo)), strict: true);
        var hello = HelloState.Read(Bytes(Hello.WriteTo));
        Assert.Equal(4711, hello.ProcessId);
        Assert.Equal(Hello.Listening.Select(e => e.ToString()), hello.Listening.Select(e => e.ToString()));
        var end = new EndState(12, ["disabled"]);
        Assert.Equivalent(end, EndState.Read(Bytes(end.WriteTo)), strict: true);
    }

    [Fact]
    public void Another_version_is_named()
    {
        var bytes = Bytes(Hello.WriteTo);
        bytes[0] = 99;
        Assert.Contains("version 99", Assert.Throws<HandoverException>(() => HelloState.Read(bytes)).Message);
    }

    [Fact]
    public void Whatever_is_cut_off_or_added_is_refused()
    {
        foreach (var (bytes, read) in All)
        {
            for (var length = 0; length < bytes.Length; length++) Assert.Throws<HandoverException>(() => read(bytes[..length]));
            Assert.Throws<HandoverException>(() => read([.. bytes, 0]));
        }
    }

    [Fact]
    public void Any_damage_is_refused_or_harmless()
    {
        var random = new Random(1);
        foreach (var (bytes, read) in All)
        {
            for (var i = 0; i < 5000; i++)
            {
                var damaged = bytes.ToArray();
                for (var n = random.Next(1, 4); n > 0; n--) damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
                ReadsOrRefuses(damaged, read);
            }
            for (var i = 0; i < 1000; i++)
            {
                var garbage = new byte[random.Next(200)];
                random.NextBytes(garbage);
                ReadsOrRefuses(garbage, read);
            }
        }
    }

    [Fact]
    public void A_length_alone_takes_no_memory()
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
            Assert.Throws<HandoverException>(() => new StateReader([0xff, 0xff, 0xff, 0x7f, 1, 2]).Bytes());
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 10_000_000);
    }

    private static (byte[] Bytes, Action<byte[]> Read)[] All =>
    [
        (Bytes(Client.WriteTo), b => ReadClient(b)), (Bytes(Server.WriteTo), b => ReadServer(b)),
        (Bytes(Pool.WriteTo), b => PoolState.Read(b)), (Bytes(Hello.WriteTo), b => HelloState.Read(b)),
        (Bytes(new StatementState(3, [1, 0]).WriteTo), b => StatementState.Read(b)), (Bytes(new EndState(12, ["disabled"]).WriteTo), b => EndState.Read(b)),
    ];

    private static void ReadsOrRefuses(byte[] bytes, Action<byte[]> read)
    {
        try
        {
            read(bytes);
        }
        catch (HandoverException)
        {
            // Refused: anything else fails the test.
        }
    }

    private static ClientHandover ReadClient(byte[] bytes)
    {
        var reader = new StateReader(bytes);
        var read = ClientHandover.Read(ref reader);
        reader.End();
        return read;
    }

    private static ServerHandover ReadServer(byte[] bytes)
    {
        var reader = new StateReader(bytes);
        var read = ServerHandover.Read(ref reader);
        reader.End();
        return read;
    }

    private static byte[] Bytes(Action<StateWriter> write)
    {
        var writer = new StateWriter();
        write(writer);
        return writer.Written.ToArray();
    }
}
