using Pooler.Engine.Configuration;

namespace Pooler.Engine.Auth.Hba;

/// <summary>The first column of an HBA line: which connections it is about.</summary>
internal enum HbaConnectionType
{
    /// <summary>Unix sockets.</summary>
    Local,

    /// <summary>TCP, with and without TLS.</summary>
    Host,

    /// <summary>TCP with TLS.</summary>
    HostSsl,

    /// <summary>TCP without TLS.</summary>
    HostNoSsl,

    /// <summary>TCP with GSSAPI encryption, which no client has here.</summary>
    HostGssEnc,

    /// <summary>TCP without GSSAPI encryption: all of TCP.</summary>
    HostNoGssEnc,
}

/// <summary>One line of an HBA file.</summary>
internal sealed record HbaRule
{
    /// <summary>The file it is in, as it was named.</summary>
    public required string File { get; init; }

    /// <summary>Its line there, counted from 1.</summary>
    public required int Line { get; init; }

    /// <summary>Which connections it is about.</summary>
    public HbaConnectionType ConnectionType { get; init; }

    /// <summary>Which databases it is about.</summary>
    public HbaNames Databases { get; init; } = HbaNames.Everything;

    /// <summary>Which users it is about.</summary>
    public HbaNames Users { get; init; } = HbaNames.Everything;

    /// <summary>Which addresses it is about; nothing to do with <see cref="HbaConnectionType.Local"/> lines.</summary>
    public HbaAddress Address { get; init; } = HbaAddress.Everything;

    /// <summary>How clients it applies to prove who they are; never Hba.</summary>
    public required AuthType Method { get; init; }

    /// <summary>The <c>name=value</c> options after the method, in order.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Options { get; init; } = [];

    /// <summary>What follows the method, as it was written: PgBouncer's LDAP options are read from it.</summary>
    public string OptionsText { get; init; } = "";

    /// <summary>For log lines.</summary>
    public string Where => $"{File}:{Line}";

    /// <summary>An option's value; null when it is not given.</summary>
    public string? Option(string name)
    {
        foreach (var (key, value) in Options)
            if (key == name) return value;
        return null;
    }
}
