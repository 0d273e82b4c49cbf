namespace Pooler.Engine.Auth.Hba;

/// <summary>What <c>auth_hba_file</c> and <c>auth_ident_file</c> say. Replaced as a whole by a reload.</summary>
internal sealed record AccessRules
{
    public static AccessRules None { get; } = new();

    /// <summary>The lines of the HBA file in order: the first that matches a login decides.</summary>
    public IReadOnlyList<HbaRule> Rules { get; init; } = [];
}
