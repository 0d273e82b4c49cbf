namespace Pooler.Engine.Telemetry;

/// <summary>Why clients keep a server connection beyond a transaction: the values of <see cref="HeldServer.Pin"/>.</summary>
public static class PinReasons
{
    /// <summary>pool_mode is session: the server is the client's until it leaves.</summary>
    public const string SessionMode = "session mode";

    /// <summary>It streams WAL, over a server of its own.</summary>
    public const string Replication = "replication";

    /// <summary>It sends the data of a COPY FROM STDIN.</summary>
    public const string Copy = "COPY";

    /// <summary>It has sent the beginning of a message, and its rest is still to come.</summary>
    public const string UnfinishedMessage = "unfinished message";

    /// <summary>It has sent requests without the Sync that ends them.</summary>
    public const string OpenBatch = "open batch";

    /// <summary>All of them.</summary>
    public static IReadOnlyList<string> All { get; } = [SessionMode, Replication, Copy, UnfinishedMessage, OpenBatch];
}
