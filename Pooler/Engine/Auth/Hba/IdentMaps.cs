using System.Text.RegularExpressions;
using Pooler.Engine.Configuration;

namespace Pooler.Engine.Auth.Hba;

/// <summary>
/// The name maps of <c>auth_ident_file</c>: which database user a certificate or a Unix user may log in as. PostgreSQL
/// documentation, "User Name Maps". As in PgBouncer a line with a mistake is reported and left out.
/// </summary>
internal sealed class IdentMaps
{
    private readonly Dictionary<string, List<Entry>> _maps = new(StringComparer.Ordinal);

    private IdentMaps()
    {
    }

    public static IdentMaps None { get; } = new();

    /// <summary>Reads a file. That it can't be read is one of the issues.</summary>
    public static IdentMaps Load(string path, List<ConfigurationIssue> issues)
    {
        if (HbaText.Read(path, out var error) is { } text) return Parse(text, path, issues);
        issues.Add(new ConfigurationIssue("auth_ident_file", $"could not open ident config file {path}: {error}"));
        return None;
    }

    /// <summary>Parses text.</summary>
    public static IdentMaps Parse(string text, string path, List<ConfigurationIssue> issues)
    {
        var maps = new IdentMaps();
        foreach (var line in HbaTokens.Lines(text))
        {
            try
            {
                maps.Add(line);
            }
            catch (HbaException e)
            {
                issues.Add(new ConfigurationIssue($"{path}:{line.Number}", $"could not parse ident config line {line.Number}: {e.Message}; it is left out"));
            }
        }

        return maps;
    }

    public bool Contains(string map) => _maps.ContainsKey(map);

    /// <summary>Whether someone whom the outside world knows by these names may log in as that user.</summary>
    /// <param name="map">The map of the HBA line; null: the names must be the user's own.</param>
    /// <param name="systemNames">Of a Unix user one, of a certificate perhaps several.</param>
    /// <param name="userName">The database user.</param>
    /// <param name="comparison">How system names are compared.</param>
    public bool Allow(string? map, IReadOnlyList<string> systemNames, string userName, StringComparison comparison)
    {
        if (map is null) return systemNames.Any(n => n.Equals(userName, comparison));
        return _maps.TryGetValue(map, out var entries) && entries.Exists(e => systemNames.Any(n => e.Allows(n, userName, comparison)));
    }

    private void Add(HbaLine line)
    {
        if (line.Error is { } error) throw new HbaException(error);
        if (line.Fields.Count != 3) throw new HbaException(line.Fields.Count < 3 ? "map, system user and database user are needed" : "unsupported parameters");
        if (line.Fields.Any(f => !f.IsSingle)) throw new HbaException("several names in one column");
        var entry = new Entry(line.Fields[1].First, line.Fields[2].First);
        var map = line.Fields[0].First.Text;
        if (!_maps.TryGetValue(map, out var entries)) _maps[map] = entries = [];
        entries.Add(entry);
    }

    private sealed class Entry
    {
        private const string Captured = "\\1";

        private readonly string _systemName;
        private readonly Regex? _systemPattern;
        private readonly string _userName;
        private readonly Regex? _userPattern;
        private readonly bool _isAll;

        public Entry(HbaToken systemName, HbaToken userName)
        {
            _systemName = systemName.Text;
            _userName = userName.Text;
            _isAll = userName.Is("all");
            _systemPattern = ParsePattern(systemName);
            _userPattern = ParsePattern(userName);
            if (userName is { IsQuoted: false, Text: ['+', ..] }) throw new HbaException($"{userName}: members of a role can't be told here");
            if (_userName.Contains(Captured) && _systemPattern is not null && !_systemPattern.GetGroupNumbers().Contains(1))
                throw new HbaException($"{systemName} has no part in parentheses for the \\1 of {userName}");
        }

        public bool Allows(string systemName, string userName, StringComparison comparison)
        {
            var wanted = _userName;
            if (_systemPattern is null)
            {
                if (!systemName.Equals(_systemName, comparison)) return false;
            }
            else
            {
                if (HbaPattern.Find(_systemPattern, systemName) is not { } match) return false;
                if (_userPattern is null && _userName.Contains(Captured))
                {
                    // Once, as in PostgreSQL: what was put in is not looked through again.
                    var at = wanted.IndexOf(Captured, StringComparison.Ordinal);
                    wanted = string.Concat(wanted.AsSpan(0, at), match.Groups[1].ValueSpan, wanted.AsSpan(at + Captured.Length));
                }
            }

            return _isAll || (_userPattern is null ? userName == wanted : HbaPattern.IsMatch(_userPattern, userName));
        }

        // A slash alone is a name.
        private static Regex? ParsePattern(HbaToken token) => token.Text is ['/', _, ..] ? HbaPattern.Parse(token) : null;
    }
}
