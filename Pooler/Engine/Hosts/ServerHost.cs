using System.Net;

namespace Pooler.Engine.Hosts;

/// <summary>One entry of a database's host list. Changing parts are guarded by the lock of its <see cref="DatabaseHosts"/>.</summary>
internal sealed class ServerHost
{
    public ServerHost(int index, string name, int port, EndPoint? endPoint)
    {
        Index = index;
        Name = name;
        Port = port;
        Lookup = new HostAddress(this, null);
        if (endPoint is not null) Addresses = [new HostAddress(this, endPoint)];
        IsName = endPoint is null;
    }

    /// <summary>Position in the list.</summary>
    public int Index { get; }

    /// <summary>As the configuration writes it; what a server's certificate must name.</summary>
    public string Name { get; }

    public int Port { get; }

    /// <summary>A name, to be looked up.</summary>
    public bool IsName { get; }

    /// <summary>Why it can never be connected to.</summary>
    public string? Broken { get; init; }

    /// <summary>Stands for the host while none of its addresses is known; has the outcome of a failed lookup.</summary>
    public HostAddress Lookup { get; }

    /// <summary>Its addresses; those of a name are its last lookup's. Replaced as a whole.</summary>
    public HostAddress[] Addresses { get; set; } = [];

    /// <summary>What people see in messages.</summary>
    public override string ToString() => Name.Contains(':') ? $"[{Name}]:{Port}" : $"{Name}:{Port}";
}

/// <summary>One address of a host, and what is known of the server there.</summary>
internal sealed class HostAddress(ServerHost host, EndPoint? endPoint)
{
    public ServerHost Host { get; } = host;

    /// <summary>Null for <see cref="ServerHost.Lookup"/>.</summary>
    public EndPoint? EndPoint { get; } = endPoint;

    public HostState State { get; set; }

    public ServerRole Role { get; set; }

    /// <summary>Why the last attempt failed; null when it did not.</summary>
    public string? LastError { get; set; }

    /// <summary>When the state last changed, in loop microseconds; 0 is never.</summary>
    public long Since { get; set; }

    /// <summary>Until then it is passed over while there are others, in loop microseconds.</summary>
    public long NextTry { get; set; }

    /// <summary>A connection to see whether it is back is under way.</summary>
    public bool IsProbed { get; set; }

    public override string ToString()
    {
        if (EndPoint is null) return Host.ToString();
        return Host.IsName ? $"{Host} ({(EndPoint as IPEndPoint)?.Address})" : Host.ToString();
    }
}

/// <summary>Every state an address can be in.</summary>
internal enum HostState
{
    /// <summary>Not connected to yet.</summary>
    Untried,

    /// <summary>The last login there went well, or a probe found it back.</summary>
    Up,

    /// <summary>It could not be connected to, or is starting or stopping.</summary>
    Down,

    /// <summary>It works, and is not what target_session_attrs asks for.</summary>
    Unfit,
}

/// <summary>What a server is in replication.</summary>
internal enum ServerRole
{
    /// <summary>It has not told: servers before PostgreSQL 14 do so only when asked.</summary>
    Unknown,

    /// <summary>Not in recovery.</summary>
    Primary,

    /// <summary>In hot standby.</summary>
    Standby,
}
