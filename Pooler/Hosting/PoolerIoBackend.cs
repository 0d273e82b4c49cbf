namespace Aspire.Hosting.ApplicationModel;

/// <summary>How the pooler's event loops do their I/O (setting <c>io_backend</c>).</summary>
public enum PoolerIoBackend
{
    /// <summary>The best one of the platform.</summary>
    Auto,

    /// <summary>epoll; Linux only.</summary>
    Epoll,

    /// <summary><c>System.Net.Sockets</c>; everywhere.</summary>
    Sockets,
}
