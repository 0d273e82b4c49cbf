namespace Aspire.Hosting.ApplicationModel;

/// <summary>When a server connection goes back to the pool (setting <c>pool_mode</c>).</summary>
public enum PoolMode
{
    /// <summary>At the end of each transaction. The pooler's default.</summary>
    Transaction,

    /// <summary>When the client disconnects.</summary>
    Session,

    /// <summary>After each statement; transactions of several statements are refused.</summary>
    Statement,
}
