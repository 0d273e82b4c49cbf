using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// A login as authentication sees it: who asks for what, from where, and what is known of it here. An exchange that
/// finds out more (a rule, a user's secret) goes on with a copy: see <see cref="StagedAuthentication"/>.
/// </summary>
internal sealed record AuthenticationRequest
{
    /// <summary>Who the client says it is.</summary>
    public required string UserName { get; init; }

    /// <summary>The database it asks for, as it wrote it; the console's name for the console.</summary>
    public required string Database { get; init; }

    /// <summary>Physical replication has HBA lines of its own.</summary>
    public ReplicationMode Replication { get; init; }

    /// <summary>First <c>auth_type</c>; with HBA, then the method of the line that matched.</summary>
    public required AuthType Method { get; init; }

    /// <summary>The HBA line that matched, with its options (map, clientcert, LDAP and PAM options); null without HBA.</summary>
    public HbaRule? Rule { get; init; }

    /// <summary>Whether the configuration, or by now a lookup, knows the user.</summary>
    public bool UserIsKnown { get; init; }

    /// <summary>What the client must show that it knows; null when there is nothing to check against.</summary>
    public Secret? Secret { get; init; }

    /// <summary>Null without TLS.</summary>
    public TlsInfo? Tls { get; init; }

    /// <summary>Where the client is: an IP address, or a Unix socket.</summary>
    public EndPoint? RemoteEndPoint { get; init; }

    /// <summary>Where the client came in.</summary>
    public EndPoint? LocalEndPoint { get; init; }

    /// <summary>The process at the other end of a Unix socket; null for TCP and where the system does not tell.</summary>
    public PeerCredentials? Peer { get; init; }

    /// <summary>The global settings of the moment.</summary>
    public required PoolerSettings Settings { get; init; }

    /// <summary>The database's settings; null for the console and for a database that is not known here.</summary>
    public DatabaseSettings? DatabaseSettings { get; init; }

    /// <summary>The rules by address and the name maps of the moment.</summary>
    public AccessRules Access { get; init; } = AccessRules.None;

    /// <summary>
    /// The configuration gives no secret of the user (an empty one in auth_file is one), so auth_query is asked, where
    /// there is one.
    /// </summary>
    public bool IsQueried { get; init; }

    /// <summary>Asks the database's server about users; null when it can't be asked (no auth_user).</summary>
    public IUserQueries? UserQueries { get; init; }

    /// <summary>
    /// Whether the client came in through a Unix socket. Told by our end: the other end of a TCP connection that has
    /// been reset is nowhere, while what it sent before can still be read.
    /// </summary>
    public bool IsLocal => LocalEndPoint is { AddressFamily: AddressFamily.Unix };

    /// <summary>The client's address; null at a Unix socket, and of a connection that was reset.</summary>
    public IPAddress? Address => !IsLocal && RemoteEndPoint is IPEndPoint { Address: var address } ? HbaAddress.Normalized(address) : null;
}
