using System.Text;

namespace Pooler.Engine.Pools;

/// <summary>
/// A statement that clients have prepared under whatever names, known to servers by one name: the same text with the
/// same parameter types is prepared once per server.
/// </summary>
public sealed class PreparedStatement
{
    internal PreparedStatement(long id, byte[] definition)
    {
        Id = id;
        Definition = definition;
        ServerName = Encoding.ASCII.GetBytes($"pooler_{id}");
    }

    /// <summary>Its number, which its name on servers has, too.</summary>
    public long Id { get; }

    /// <summary>The body of the Parse message after the statement's name: query text, zero, parameter types.</summary>
    public byte[] Definition { get; }

    /// <summary>Its name on servers, ASCII, without a terminator.</summary>
    public byte[] ServerName { get; }

    /// <summary>How many clients have it prepared; guarded by the <see cref="StatementRegistry"/>.</summary>
    internal int References { get; set; }

    /// <summary>Where it stands among those that no client has prepared now.</summary>
    internal LinkedListNode<PreparedStatement>? Unused { get; set; }
}

/// <summary>Compares byte strings by content, also against spans, so that a lookup allocates nothing.</summary>
internal sealed class BytesComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
{
    public static readonly BytesComparer Instance = new();

    public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode(byte[] bytes) => GetHashCode(bytes.AsSpan());

    public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

    public int GetHashCode(ReadOnlySpan<byte> bytes)
    {
        // HashCode is seeded per process, so clients cannot choose colliding statements.
        var hash = new HashCode();
        hash.AddBytes(bytes);
        return hash.ToHashCode();
    }

    public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
}
