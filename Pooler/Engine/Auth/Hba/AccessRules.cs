using Pooler.Engine.Configuration;

namespace Pooler.Engine.Auth.Hba;

/// <summary>What <c>auth_hba_file</c> and <c>auth_ident_file</c> say. Replaced as a whole by a reload.</summary>
internal sealed record AccessRules
{
    public static AccessRules None { get; } = new();

    /// <summary>The lines of the HBA file in order: the first that matches a login decides.</summary>
    public IReadOnlyList<HbaRule> Rules { get; init; } = [];

    /// <summary>The name maps.</summary>
    public IdentMaps Maps { get; init; } = IdentMaps.None;

    /// <summary>What is wrong in the files. As in PgBouncer such lines are left out, and the others count.</summary>
    public IReadOnlyList<ConfigurationIssue> Issues { get; init; } = [];

    /// <summary>Reads the files that the settings name; nothing unless <c>auth_type</c> is hba. Blocks.</summary>
    public static AccessRules Load(PoolerSettings settings)
    {
        if (settings.AuthType != AuthType.Hba) return None;
        var issues = new List<ConfigurationIssue>();
        var maps = settings.AuthIdentFile is { } ident ? IdentMaps.Load(ident, issues) : IdentMaps.None;
        return new AccessRules { Rules = HbaReader.Read(settings.AuthHbaFile, maps, issues), Maps = maps, Issues = issues };
    }
}
