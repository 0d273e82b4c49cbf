using System.Collections.Concurrent;
using System.Text;
using Pooler.Engine.Sessions;

namespace Pooler.Engine.Pools;

/// <summary>
/// The values of tracked parameters in one session, as an immutable set. Equal sets are the same object, so that
/// "does this server suit this client" is one reference comparison in the usual case, and an idle client's parameters
/// cost one pointer.
/// </summary>
public sealed class SessionParameters : IEquatable<SessionParameters>
{
    /// <summary>
    /// Parameters that PostgreSQL reports by itself and that a client may change: followed from server to server.
    /// Source: PostgreSQL documentation, "Asynchronous Operations" (search_path is reported from version 18 on).
    /// </summary>
    public static readonly IReadOnlyList<string> Reported =
    [
        "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings", "IntervalStyle",
        "application_name", "default_transaction_read_only", "search_path", "scram_iterations",
    ];

    /// <summary>Stands for a value that is not known: equal to none that a client can ask for.</summary>
    internal const string Unknown = "\0";

    // Clients choose values, so the number of distinct sets has no bound of its own; beyond this many, sets are simply
    // not shared any more and comparisons get slower, which is all that happens.
    private const int MostShared = 4096;

    private static readonly ConcurrentDictionary<SessionParameters, SessionParameters> Shared = new();

    /// <summary>No parameters.</summary>
    public static readonly SessionParameters Empty = new([]);

    // Sorted by name, ignoring case.
    private readonly KeyValuePair<string, string>[] _values;
    private readonly int _hash;

    private SessionParameters(KeyValuePair<string, string>[] values)
    {
        _values = values;
        var hash = new HashCode();
        foreach (var (name, value) in values)
        {
            hash.Add(name, StringComparer.OrdinalIgnoreCase);
            hash.Add(value);
        }
        _hash = hash.ToHashCode();
    }

    /// <summary>Names and values, sorted by name.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Values => _values;

    /// <summary>The value of a parameter, or null when the set has none. Names ignore case, as in PostgreSQL.</summary>
    public string? this[string name]
    {
        get
        {
            foreach (var (key, value) in _values)
                if (key.Equals(name, StringComparison.OrdinalIgnoreCase)) return value;
            return null;
        }
    }

    /// <summary>The set with one value changed or, when null, taken out.</summary>
    public SessionParameters With(string name, string? value)
    {
        if (this[name] == value) return this;
        var values = new List<KeyValuePair<string, string>>(_values.Length + 1);
        foreach (var pair in _values)
            if (!pair.Key.Equals(name, StringComparison.OrdinalIgnoreCase)) values.Add(pair);
        if (value is not null) values.Add(new(Spelling(name), value));
        values.Sort((a, b) => string.Compare(a.Key, b.Key, StringComparison.OrdinalIgnoreCase));
        return Share(new SessionParameters([.. values]));
    }

    /// <summary>
    /// The SQL that turns a server with these parameters into one with <paramref name="target"/>'s, or null when nothing
    /// differs. Parameters that the server has and the target has not are reset.
    /// </summary>
    public string? ChangesTo(SessionParameters target)
    {
        if (ReferenceEquals(this, target) || Equals(target)) return null;
        var sql = new StringBuilder();
        foreach (var (name, value) in target._values)
        {
            if (this[name] == value) continue;
            // search_path is a list: SET would take the whole literal for one schema's name.
            if (name.Equals("search_path", StringComparison.OrdinalIgnoreCase))
                sql.Append("SELECT pg_catalog.set_config('search_path',").Append(Literal(value)).Append(",false);");
            else
                sql.Append("SET ").Append(name).Append(" TO ").Append(Literal(value)).Append(';');
        }
        foreach (var (name, _) in _values)
            if (target[name] is null) sql.Append("RESET ").Append(name).Append(';');
        return sql.Length == 0 ? null : sql.ToString();
    }

    /// <summary>Whether a name can stand in SET without quotes: letters, digits, underscores and dots.</summary>
    public static bool IsPlainName(string name) =>
        name.Length is > 0 and < 256 && (char.IsAsciiLetter(name[0]) || name[0] == '_')
        && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.');

    /// <inheritdoc/>
    public bool Equals(SessionParameters? other)
    {
        if (ReferenceEquals(this, other)) return true;
        if (other is null || other._hash != _hash || other._values.Length != _values.Length) return false;
        for (var i = 0; i < _values.Length; i++)
        {
            if (_values[i].Value != other._values[i].Value
                || !_values[i].Key.Equals(other._values[i].Key, StringComparison.OrdinalIgnoreCase)) return false;
        }
        return true;
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as SessionParameters);

    /// <inheritdoc/>
    public override int GetHashCode() => _hash;

    // One spelling per name, as equal sets are one object whoever made it first.
    private static string Spelling(string name)
    {
        foreach (var reported in Reported)
            if (reported.Equals(name, StringComparison.OrdinalIgnoreCase)) return reported;
        return name.ToLowerInvariant();
    }

    private static SessionParameters Share(SessionParameters parameters)
    {
        // A trace is one session's, and only passes through here on its way to another process.
        if (parameters[TraceCommand.Parameter] is not null) return parameters;
        if (Shared.TryGetValue(parameters, out var known)) return known;
        return Shared.Count < MostShared ? Shared.GetOrAdd(parameters, parameters) : parameters;
    }

    // Independent of standard_conforming_strings: a literal with a backslash is written in the escape form.
    private static string Literal(string value) => value.Contains('\\')
        ? "E'" + value.Replace("\\", "\\\\").Replace("'", "''") + "'"
        : "'" + value.Replace("'", "''") + "'";
}
