using System.Text.RegularExpressions;

namespace Pooler.Engine.Auth.Hba;

/// <summary>The database or the user column of an HBA line.</summary>
internal sealed class HbaNames
{
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly List<Regex> _patterns = [];
    private readonly List<string> _roles = [];

    /// <summary>The column <c>all</c>.</summary>
    public static HbaNames Everything { get; } = new() { All = true };

    /// <summary><c>all</c>. Physical replication is not among them.</summary>
    public bool All { get; set; }

    /// <summary><c>sameuser</c>: user and database have the same name. PgBouncer takes it in both columns.</summary>
    public bool SameUser { get; set; }

    /// <summary><c>samerole</c>, <c>samegroup</c>: the user is a member of the role with the database's name.</summary>
    public bool SameRole { get; set; }

    /// <summary><c>replication</c>: physical replication.</summary>
    public bool Replication { get; set; }

    /// <summary>Roles (<c>+name</c>) whose members are meant.</summary>
    public IReadOnlyList<string> Roles => _roles;

    public void AddName(string name) => _names.Add(name);

    public void AddPattern(Regex pattern) => _patterns.Add(pattern);

    public void AddRole(string role) => _roles.Add(role);

    /// <summary>Whether the name is meant, as far as that can be said without asking a server.</summary>
    public bool Contains(string name, string pair) =>
        All
        || (SameUser && name == pair)
        || _names.Contains(name)
        || _patterns.Exists(p => HbaPattern.IsMatch(p, name));
}
