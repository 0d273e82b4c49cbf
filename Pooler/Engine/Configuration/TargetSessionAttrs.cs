namespace Pooler.Engine.Configuration;

/// <summary>
/// Which servers of a list of hosts are good enough: libpq's <c>target_session_attrs</c>. Source: PostgreSQL
/// documentation, "Parameter Key Words".
/// </summary>
public enum TargetSessionAttrs
{
    /// <summary>Every server.</summary>
    Any,

    /// <summary>Sessions may write: no standby, and transactions are not read-only by default.</summary>
    ReadWrite,

    /// <summary>Sessions may not write by default.</summary>
    ReadOnly,

    /// <summary>Not in hot standby.</summary>
    Primary,

    /// <summary>In hot standby.</summary>
    Standby,

    /// <summary>In hot standby; any when no host is.</summary>
    PreferStandby,
}
