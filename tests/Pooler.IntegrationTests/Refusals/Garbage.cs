using System.Text;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>Bytes that nobody should believe.</summary>
internal static class Garbage
{
    /// <summary>First packets that must be refused at once, before anything else is waited for.</summary>
    public static readonly byte[][] Startups =
    [
        [0, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 7], [0, 0, 39, 21], [0, 1, 0, 0], [0x7f, 0xff, 0xff, 0xff], [0x80, 0, 0, 0], [0xff, 0xff, 0xff, 0xff],
        Startup(0x0001_0000, "user\0me\0\0"), Startup(0x0002_0000, "me\0\0"), Startup(0x0004_0000, "user\0me\0\0"), Startup(0, "user\0me\0\0"),
        Startup(-1, ""), Startup(0x0003_0000, ""), Startup(0x0003_0000, "\0"), Startup(0x0003_0000, "user"), Startup(0x0003_0000, "user\0"),
        Startup(0x0003_0000, "user\0me\0"), Startup(0x0003_0000, "user\0me\0\0\0"), Startup(0x0003_0000, "user\0me\0database"),
        Startup(0x0003_0000, "user\0\0\0"), Startup(0x0003_0000, "user\0me\0user\0you\0\0"), Startup(0x0003_0000, "user\0m\u00ff\0\0"),
        Startup(0x0003_0000, "user\0me\0replication\0perhaps\0\0"), Startup(0x0003_0000, new string('a', 9_990)),
        Startup(80877102, ""), Startup(80877102, "123"), Startup(80877102, "1234567"), Startup(80877102, new string('k', 300)),
        Startup(80877103, "x"), Startup(80877104, "x"),
        "GET / HTTP/1.1\r\n\r\n"u8.ToArray(), "p\0\0\0\u0008abc\0"u8.ToArray(), "Q\0\0\0\u0005\0"u8.ToArray(), "X\0\0\0\u0004"u8.ToArray(), "SSH-2.0-x\r\n"u8.ToArray(),
    ];

    /// <summary>What must be refused at once where a password is expected.</summary>
    public static readonly byte[][] Answers =
    [
        Startup(0x0003_0000, "user\0trusted\0\0"), Startup(80877103, ""), Startup(80877104, ""), Startup(80877102, "12345678"),
        .. "QPBEDCSHXFdcfRZ1\u007f"u8.ToArray().Select(type => HostileConnection.Message((char)type, 0)),
        HostileConnection.Announcing('p', int.MaxValue), HostileConnection.Announcing('p', int.MinValue), HostileConnection.Announcing('p', -1),
        HostileConnection.Announcing('p', 0), HostileConnection.Announcing('p', 3), HostileConnection.Announcing('p', 65_540),
        HostileConnection.Message('p'), HostileConnection.Message('p', 0, 0), HostileConnection.Message('p', "no end"u8.ToArray()),
        HostileConnection.Message('p', [.. "SCRAM-SHA-256"u8]), HostileConnection.Message('p', [.. "SCRAM-SHA-256\0"u8, 0, 0, 0, 9, .. "n,,n=,r="u8]),
        HostileConnection.Message('p', [.. "c=biws,r=x,p="u8]), HostileConnection.Message('p', new byte[5000]),
    ];

    /// <summary>What must be refused at once from a client that is logged in: types that are none of a client's, lengths that none can have.</summary>
    public static readonly byte[][] Requests =
    [
        [0, 0, 0, 0, 4], [0xff, 0, 0, 0, 4], Startup(0x0003_0000, "user\0me\0\0"), Startup(80877103, ""), Startup(80877102, "12345678"),
        .. "pRZT1K2vzq\u0001 "u8.ToArray().Select(type => HostileConnection.Message((char)type, 0)),
        .. from type in "QPBEDCSHFX" from length in (int[])[int.MinValue, -1, 0, 3] select HostileConnection.Announcing(type, length, 0),
        .. from type in "DCESHX" from length in (int[])[int.MaxValue, 1_000_000] select HostileConnection.Announcing(type, length, (byte)'S'),
        HostileConnection.Announcing('P', int.MaxValue - 1, [.. "named\0SELECT 1"u8]), HostileConnection.Announcing('Q', int.MaxValue, 0),
    ];

    /// <summary>A piece of a conversation, with some of its bytes changed, left out, doubled or made up.</summary>
    public static byte[] Mutilated(Random random, byte[] honest)
    {
        var bytes = honest.ToList();
        for (var n = random.Next(1, 6); n > 0; n--)
        {
            var at = random.Next(bytes.Count + 1);
            switch (random.Next(5))
            {
                case 0 when at < bytes.Count: bytes[at] = (byte)random.Next(256); break;
                case 1 when at < bytes.Count: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 2: bytes.RemoveRange(at, random.Next(bytes.Count - at + 1)); break;
                case 3: bytes.InsertRange(at, bytes.Skip(at).Take(random.Next(20)).ToArray()); break;
                default:
                    var made = new byte[random.Next(1, 40)];
                    random.NextBytes(made);
                    bytes.InsertRange(at, made);
                    break;
            }
        }
        return [.. bytes];
    }

    /// <summary>An untyped packet of the right length.</summary>
    public static byte[] Startup(int code, string text) =>
        HostileConnection.Written(w => w.BeginUntyped().Int32(code).Bytes(Encoding.Latin1.GetBytes(text)).End());
}
