using System.Net;

namespace Pooler.Engine.Auth;

/// <summary>
/// Somebody else who knows whether a password is right, asked with the password in clear text: an LDAP server, PAM.
/// </summary>
internal interface IPasswordVerifier
{
    /// <summary>What it is called in error messages.</summary>
    string Name { get; }

    /// <summary>
    /// Why the password is not accepted, for the log and without secrets; null when it is. Blocks, for seconds if need be;
    /// several threads may be in it at once. Never throws.
    /// </summary>
    /// <param name="userName">Who the client says it is.</param>
    /// <param name="password">As the client sent it; not empty, without zero bytes.</param>
    /// <param name="client">Where the client is.</param>
    string? Verify(string userName, byte[] password, EndPoint? client);
}
