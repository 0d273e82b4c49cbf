using Pooler.Engine.Configuration;

namespace Pooler.Engine.Hosts;

/// <summary>
/// What a server has told of itself, against target_session_attrs, as libpq judges it: by the parameters that servers
/// report from PostgreSQL 14 on, and by a query to older ones.
/// </summary>
internal struct SessionAttributes
{
    /// <summary>in_hot_standby; null when not told.</summary>
    public bool? InHotStandby { get; set; }

    /// <summary>default_transaction_read_only; null when not told.</summary>
    public bool? DefaultReadOnly { get; set; }

    /// <summary>transaction_read_only, which is on in hot standby, too; null when not asked.</summary>
    public bool? ReadOnly { get; set; }

    public readonly ServerRole Role => InHotStandby switch
    {
        true => ServerRole.Standby,
        false => ServerRole.Primary,
        null => ReadOnly == false ? ServerRole.Primary : ServerRole.Unknown,
    };

    /// <summary>Notes a parameter that the server reports.</summary>
    public void Note(string parameter, string value)
    {
        if (parameter == "in_hot_standby") InHotStandby = value == "on";
        else if (parameter == "default_transaction_read_only") DefaultReadOnly = value == "on";
    }

    /// <summary>Notes the answer to <see cref="Question"/>.</summary>
    public void NoteAnswer(TargetSessionAttrs wanted, bool value)
    {
        if (IsAboutWriting(wanted)) ReadOnly = value;
        else InHotStandby = value;
    }

    /// <summary>The query to judge the server by; null when it has told enough.</summary>
    public readonly string? Question(TargetSessionAttrs wanted)
    {
        if (wanted == TargetSessionAttrs.Any) return null;
        if (IsAboutWriting(wanted))
            return ReadOnly is not null || (InHotStandby is not null && DefaultReadOnly is not null) ? null : "SHOW transaction_read_only";
        return InHotStandby is not null ? null : "SELECT pg_catalog.pg_is_in_recovery()";
    }

    /// <summary>What does not suit; null when all does.</summary>
    public readonly string? Objection(TargetSessionAttrs wanted)
    {
        var readOnly = ReadOnly ?? (InHotStandby == true || DefaultReadOnly == true);
        return wanted switch
        {
            TargetSessionAttrs.ReadWrite when readOnly => InHotStandby == true ? "server is in hot standby mode" : "session is read-only",
            TargetSessionAttrs.ReadOnly when !readOnly => "session is not read-only",
            TargetSessionAttrs.Primary when InHotStandby == true => "server is in hot standby mode",
            TargetSessionAttrs.Standby or TargetSessionAttrs.PreferStandby when InHotStandby != true => "server is not in hot standby mode",
            _ => null,
        };
    }

    /// <summary>Whether a server of that role can be what is wanted. A primary may still be read-only by its settings.</summary>
    public static bool MaySuit(ServerRole role, TargetSessionAttrs wanted) => role switch
    {
        ServerRole.Standby => wanted is not (TargetSessionAttrs.ReadWrite or TargetSessionAttrs.Primary),
        ServerRole.Primary => wanted is not (TargetSessionAttrs.Standby or TargetSessionAttrs.PreferStandby),
        _ => true,
    };

    private static bool IsAboutWriting(TargetSessionAttrs wanted) => wanted is TargetSessionAttrs.ReadWrite or TargetSessionAttrs.ReadOnly;
}
