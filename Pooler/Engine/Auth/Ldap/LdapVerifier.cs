using System.DirectoryServices.Protocols;
using System.Net;
using System.Text;
using System.Text.Unicode;

namespace Pooler.Engine.Auth.Ldap;

/// <summary>
/// Checks a password by binding to an LDAP server with it, as PostgreSQL does (PostgreSQL documentation, "LDAP
/// Authentication"). Certificates are checked as the machine's ldap.conf says (TLS_CACERT, TLS_REQCERT).
/// </summary>
internal sealed class LdapVerifier(LdapOptions options) : IPasswordVerifier
{
    private const string Placeholder = "$username";

    public string Name => "LDAP";

    public string? Verify(string userName, byte[] password, EndPoint? client)
    {
        if (!Utf8.IsValid(password)) return "the password is not valid UTF-8";
        var servers = string.Join(' ', options.Servers);
        try
        {
            if (FindName(userName, servers, out var distinguishedName) is { } objection) return objection;
            // A connection of its own: what the search was bound as must not linger.
            using var connection = Connect();
            try
            {
                connection.Bind(new NetworkCredential(distinguishedName, Encoding.UTF8.GetString(password)));
                return null;
            }
            catch (LdapException e)
            {
                return $"LDAP login failed for user {distinguishedName} on server {servers}: {Describe(e)}";
            }
        }
        // Of the library: no libldap on this machine, a connection that cannot be made, StartTLS that fails.
        catch (Exception e) when (e is LdapException or DirectoryException or DllNotFoundException or TypeInitializationException
            or PlatformNotSupportedException or InvalidOperationException or ArgumentException)
        {
            return $"could not use LDAP server {servers}: {Describe(e)}";
        }
    }

    private string? FindName(string userName, string servers, out string distinguishedName)
    {
        distinguishedName = $"{options.Prefix}{userName}{options.Suffix}";
        if (options.BaseDn is null) return null;

        // They would have to be escaped in a filter; nobody's name has them, but an attack may.
        if (userName.AsSpan().IndexOfAny("*()\\/") >= 0) return "invalid character in user name for LDAP authentication";
        using var connection = Connect();
        try
        {
            if (options.BindDn is null && options.BindPassword is null) connection.AuthType = AuthType.Anonymous;
            connection.Bind(new NetworkCredential(options.BindDn ?? "", options.BindPassword ?? ""));
        }
        catch (LdapException e)
        {
            return $"could not perform initial LDAP bind for ldapbinddn \"{options.BindDn}\" on server \"{servers}\": {Describe(e)}";
        }

        var filter = options.SearchFilter?.Replace(Placeholder, userName, StringComparison.Ordinal)
            ?? $"({options.SearchAttribute ?? "uid"}={userName})";
        var scope = options.Scope switch
        {
            LdapScope.Base => SearchScope.Base,
            LdapScope.One => SearchScope.OneLevel,
            _ => SearchScope.Subtree,
        };
        SearchResponse response;
        try
        {
            // "1.1" asks for no attributes (RFC 4511, 4.5.1.8): the name of the entry is all that is wanted.
            response = (SearchResponse)connection.SendRequest(new SearchRequest(options.BaseDn, filter, scope, "1.1"));
        }
        catch (Exception e) when (e is LdapException or DirectoryOperationException)
        {
            return $"could not search LDAP for filter \"{filter}\" on server \"{servers}\": {Describe(e)}";
        }
        if (response.Entries.Count != 1)
        {
            return response.Entries.Count == 0
                ? $"LDAP user \"{userName}\" does not exist: the search for filter \"{filter}\" on server \"{servers}\" returned no entries"
                : $"LDAP user \"{userName}\" is not unique: the search for filter \"{filter}\" on server \"{servers}\" returned {response.Entries.Count} entries";
        }
        distinguishedName = response.Entries[0].DistinguishedName;
        return null;
    }

    private LdapConnection Connect()
    {
        var port = options.Port ?? (options.IsSecure ? 636 : 389);
        var servers = new LdapDirectoryIdentifier([.. options.Servers], port, fullyQualifiedDnsHostName: false, connectionless: false);
        var connection = OpenLdapDefaults.Connect(servers, options.IsSecure, out var knowsServers);
        try
        {
            connection.AuthType = AuthType.Basic;
            connection.Timeout = OpenLdapDefaults.OperationTimeout;
            connection.SessionOptions.ProtocolVersion = 3;
            if (options.IsSecure) connection.SessionOptions.SecureSocketLayer = true;
            if (options.StartsTls) StartTls(connection, knowsServers);
            return connection;
        }
        catch (Exception)
        {
            connection.Dispose();
            throw;
        }
    }

    private static void StartTls(LdapConnection connection, bool knowsServers)
    {
        // Elsewhere than on Linux a connection is made by its first request only: one that anybody may make, for no attribute
        // of the root (RFC 4512, 5.1), without a bind. Where it can be done without, it must: the server may refuse StartTLS
        // as long as it has not put away a request that it has answered already (RFC 4511, 4.14.1).
        if (!knowsServers)
        {
            connection.AutoBind = false;
            try
            {
                connection.SendRequest(new SearchRequest("", "(objectClass=*)", SearchScope.Base, "1.1"));
            }
            catch (DirectoryOperationException)
            {
                // The server's refusal is an answer as well: it is connected.
            }
        }
        connection.SessionOptions.StartTransportLayerSecurity(null);
    }

    private static string Describe(Exception e) => e switch
    {
        LdapException { ServerErrorMessage: { Length: > 0 } more } ldap => $"{ldap.Message} ({more})",
        DirectoryOperationException { Response.ErrorMessage: { Length: > 0 } more } => $"{e.Message} ({more})",
        TypeInitializationException { InnerException: { } inner } => inner.Message,
        _ => e.Message,
    };
}
