using System.Text;

namespace Pooler.Engine.Configuration;

/// <summary>
/// Reads PgBouncer's ini format: sections, <c>key = value</c> lines of which later ones win, comment lines that start
/// with ; or #, <c>%include FILE</c> (relative to the working directory).
/// </summary>
internal sealed class IniReader(ConfigurationDraft draft)
{
    // Deep enough for any layout of files, small enough to stop a file that includes itself.
    private const int MaxIncludes = 10;

    private static readonly string[] Sections = ["pgbouncer", "databases", "users", "peers"];

    // Goes on across files: an included file without a section adds to its includer's.
    private string? _section;
    private bool _hasGlobals;
    private Dictionary<string, RawValue> _before = [];

    public void Read(string file) => Read(file, includedFrom: null, depth: 0);

    private void Read(string file, string? includedFrom, int depth)
    {
        string text;
        try
        {
            text = File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            draft.Error(includedFrom ?? file, includedFrom is null ? $"cannot read the configuration file: {e.Message}" : $"cannot include {file}: {e.Message}");
            return;
        }

        var number = 0;
        foreach (var line in text.AsSpan().EnumerateLines())
        {
            number++;
            ReadLine(line.Trim().ToString(), $"{file}:{number}", depth);
        }
    }

    private void ReadLine(string content, string where, int depth)
    {
        if (content.Length == 0 || content[0] is ';' or '#') return;
        if (content[0] == '%') Include(content, where, depth);
        else if (content[0] == '[') EnterSection(content, where, depth);
        else ReadPair(content, where);
    }

    private void Include(string line, string where, int depth)
    {
        const string Directive = "%include";
        var file = line.Length > Directive.Length && line.StartsWith(Directive, StringComparison.Ordinal) && char.IsWhiteSpace(line[Directive.Length])
            ? line[Directive.Length..].Trim()
            : "";
        if (file.Length == 0) draft.Error(where, "expected %include FILE");
        else if (depth == MaxIncludes) draft.Error(where, $"more than {MaxIncludes} files include one another");
        else Read(file, where, depth + 1);
    }

    private void EnterSection(string line, string where, int depth)
    {
        var end = line.IndexOf(']', StringComparison.Ordinal);
        if (end < 0)
        {
            draft.Error(where, "expected [section]");
            _section = null;
            return;
        }

        var name = line[1..end].Trim();
        _section = name;
        if (!Sections.Contains(name))
        {
            var nearest = NearestName.Find(name, Sections);
            draft.Error(where, $"unknown section [{name}]; {(nearest is null ? $"known: {string.Join(", ", Sections)}" : $"did you mean [{nearest}]?")}");
        }
        else if (name == "pgbouncer")
        {
            BeginGlobals(where);
        }

        // PgBouncer reads on behind the bracket: mostly it is a comment.
        ReadLine(line[(end + 1)..].Trim(), where, depth);
    }

    /// <summary>
    /// A second <c>[pgbouncer]</c> puts back to their defaults the settings of the first that have one. Who has files like
    /// this has tried what comes out, so it must come out here as well.
    /// </summary>
    private void BeginGlobals(string where)
    {
        if (!_hasGlobals)
        {
            _hasGlobals = true;
            _before = new Dictionary<string, RawValue>(draft.Globals);
            return;
        }

        var defaults = new PoolerSettings();
        var dropped = draft.Globals.Keys.Where(IsPutBack).Order(StringComparer.Ordinal).ToArray();
        foreach (var name in dropped)
        {
            if (_before.TryGetValue(name, out var value)) draft.Globals[name] = value;
            else draft.Globals.Remove(name);
        }

        if (dropped.Length > 0) draft.Warn(where, $"[pgbouncer] begins again, which takes back what was set before, as in PgBouncer: {string.Join(", ", dropped)}");

        bool IsPutBack(string name) =>
            SettingsTable.Find(name) is { HasDefault: true, Own: false } setting && setting.Show(defaults) is not null
            && !(_before.TryGetValue(name, out var before) && before == draft.Globals[name]);
    }

    private void ReadPair(string line, string where)
    {
        if (!TryReadName(line, out var name, out var rest))
        {
            draft.Error(where, "expected name = value");
            return;
        }

        switch (_section)
        {
            case "pgbouncer":
                draft.SetGlobal(name, rest, where);
                break;
            case "databases":
                if (ReadEntry(draft.Databases, name, rest, where) is var (database, databasePairs))
                    foreach (var (key, value) in databasePairs) draft.SetDatabaseKey(database, key, value, where);
                break;
            case "users":
                if (ReadEntry(draft.Users, name, rest, where) is var (user, userPairs))
                    foreach (var (key, value) in userPairs) draft.SetUserKey(user, key, value, where);
                break;
            case "peers":
                if (ReadEntry(draft.Peers, name, rest, where) is var (peer, peerPairs))
                    foreach (var (key, value) in peerPairs) draft.SetPeerKey(peer, key, value, where);
                break;
            case null:
                draft.Error(where, $"{name} stands before any section; start with [pgbouncer]");
                break;
        }
    }

    private (DraftEntry Entry, List<KeyValuePair<string, string>> Pairs)? ReadEntry(Dictionary<string, DraftEntry> entries, string name, string text, string where)
    {
        if (ConnectionString.TryRead(text, out var pairs, out var error))
            return (ConfigurationDraft.Entry(entries, name, where, replace: true), pairs);
        draft.Error(where, $"{name}: {error}");
        return null;
    }

    private static bool TryReadName(string line, out string name, out string rest)
    {
        name = rest = "";
        int at;
        if (line[0] is '"' or '\'')
        {
            var quote = line[0];
            var unquoted = new StringBuilder();
            for (at = 1; ; at++)
            {
                if (at == line.Length) return false;
                if (line[at] == quote)
                {
                    if (at + 1 == line.Length || line[at + 1] != quote) break;
                    at++;
                }

                unquoted.Append(line[at]);
            }

            name = unquoted.ToString();
            at++;
            while (at < line.Length && char.IsWhiteSpace(line[at])) at++;
            if (at == line.Length || line[at] != '=') return false;
        }
        else
        {
            at = line.IndexOf('=');
            if (at < 0) return false;
            name = line[..at].TrimEnd();
            if (name.Any(char.IsWhiteSpace)) return false;
        }

        rest = line[(at + 1)..].Trim();
        return name.Length > 0;
    }
}
