using Pooler.Engine.Pools;

namespace Pooler.Engine.Sessions;

/// <summary>
/// What a server was last asked: the beginning of the SQL as it was sent, or the prepared statement. The server's loop
/// writes it with each request, so that costs one copy of bounded length and nothing else; whoever wants to see it
/// reads it from any thread, and again when it changed meanwhile.
/// </summary>
/// <remarks>
/// A sequence lock: the version is odd while something is being written. Writers need none but the ownership of the
/// connection, which goes from loop to loop under the pool's lock.
/// </remarks>
internal sealed class RequestText
{
    /// <summary>Bytes of SQL that are kept; of Bind's values as many again.</summary>
    public const int Most = 1024;

    private const int MostReads = 1000;

    private readonly byte[] _sql = new byte[Most];
    private byte[]? _values;
    private byte[]? _parsedName;
    private PreparedStatement? _statement;

    /// <summary>At least a zero, so that whatever is appended comes behind one, unless a text has begun.</summary>
    private int _length = 1;
    private int _valuesLength;
    private bool _isName;
    private uint _version;

    /// <summary>A request with SQL in it: what has arrived of it, zero and all that follows included.</summary>
    public void Set(ReadOnlySpan<byte> sql)
    {
        BeginWrite();
        _statement = null;
        _isName = false;
        _valuesLength = 0;
        _length = Math.Min(sql.Length, Most);
        sql[.._length].CopyTo(_sql);
        EndWrite();
        _parsedName = null;
    }

    /// <summary>More of a message in transit; it may be the one that <see cref="Set(ReadOnlySpan{byte})"/> saw the beginning of.</summary>
    public void Append(ReadOnlySpan<byte> more)
    {
        // Whatever comes behind the text's zero is of another message, and no reader looks at it.
        if (_length == Most || _statement is not null || _isName) return;
        BeginWrite();
        var length = Math.Min(more.Length, Most - _length);
        more[..length].CopyTo(_sql.AsSpan(_length));
        _length += length;
        EndWrite();
    }

    /// <summary>A statement whose text is known.</summary>
    public void Set(PreparedStatement statement)
    {
        if (_statement == statement && _valuesLength == 0) return;
        BeginWrite();
        _statement = statement;
        _valuesLength = 0;
        EndWrite();
    }

    /// <summary>The SQL of a statement that is prepared under a name that the pool does not keep.</summary>
    public void SetParsed(ReadOnlySpan<byte> name, ReadOnlySpan<byte> sql)
    {
        Set(sql);
        if (!name.IsEmpty && name.Length <= Most) _parsedName = name.ToArray();
    }

    /// <summary>A statement of which only the name is known, unless it is the last one that was prepared.</summary>
    public void SetName(ReadOnlySpan<byte> name)
    {
        if (_parsedName is { } parsed && name.SequenceEqual(parsed)) return;
        Set(name);
        BeginWrite();
        _isName = true;
        EndWrite();
    }

    /// <summary>The unnamed statement: the last SQL, unless a named one was used since.</summary>
    public void SetUnnamed()
    {
        if (_statement is not null || _isName) Set("\0"u8);
    }

    /// <summary>The values of a Bind: its body behind the names.</summary>
    public void SetValues(ReadOnlySpan<byte> body)
    {
        _values ??= new byte[Most];
        BeginWrite();
        _valuesLength = Math.Min(body.Length, Most);
        body[.._valuesLength].CopyTo(_values);
        EndWrite();
    }

    /// <summary>A copy of what is there now. Any thread.</summary>
    public RequestCopy Read()
    {
        Span<byte> sql = stackalloc byte[Most];
        Span<byte> values = stackalloc byte[Most];
        var spin = new SpinWait();
        for (var reads = 0; reads < MostReads; reads++, spin.SpinOnce(sleep1Threshold: -1))
        {
            var version = Volatile.Read(ref _version);
            if ((version & 1) != 0) continue;
            var (statement, length, isName, valuesLength) = (_statement, _length, _isName, _valuesLength);
            if ((uint)length > Most || (uint)valuesLength > Most) continue;
            _sql.AsSpan(0, length).CopyTo(sql);
            if (valuesLength > 0) _values.AsSpan(0, valuesLength).CopyTo(values);
            Volatile.ReadBarrier();
            if (_version != version) continue;
            return statement is null
                ? RequestCopy.Of(sql[..length], values[..valuesLength], isName)
                : RequestCopy.Of(statement, values[..valuesLength]);
        }
        return RequestCopy.None;
    }

    private void BeginWrite()
    {
        _version++;
        Volatile.WriteBarrier();
    }

    private void EndWrite() => Volatile.Write(ref _version, _version + 1);
}

/// <summary>What a server was last asked, at one moment.</summary>
/// <param name="Sql">The SQL, or the statement's name.</param>
/// <param name="IsCut">The SQL goes on, but was not kept.</param>
/// <param name="IsName">Only the name of the prepared statement is known.</param>
/// <param name="Values">The body of the Bind message behind the names, cut perhaps; empty when it is not to be shown.</param>
/// <param name="Types">Types of the parameters as the Parse message has them: a count and their ids; empty when not known.</param>
internal readonly record struct RequestCopy(byte[] Sql, bool IsCut, bool IsName, byte[] Values, ReadOnlyMemory<byte> Types)
{
    /// <summary>Nothing is known.</summary>
    public static readonly RequestCopy None = new([], false, false, [], default);

    /// <summary>What a message has behind its text begins with the text's zero.</summary>
    public static RequestCopy Of(ReadOnlySpan<byte> sql, ReadOnlySpan<byte> values, bool isName)
    {
        var end = sql.IndexOf((byte)0);
        return end < 0
            ? new RequestCopy(sql.ToArray(), sql.Length > 0 && !isName, isName, values.ToArray(), default)
            : new RequestCopy(sql[..end].ToArray(), false, isName, values.ToArray(), sql[(end + 1)..].ToArray());
    }

    public static RequestCopy Of(PreparedStatement statement, ReadOnlySpan<byte> values)
    {
        var definition = statement.Definition;
        var end = definition.AsSpan().IndexOf((byte)0);
        if (end < 0) end = definition.Length;
        var length = Math.Min(end, RequestText.Most);
        return new RequestCopy(
            definition[..length], length < end, false, values.ToArray(), definition.AsMemory(Math.Min(end + 1, definition.Length)));
    }
}
