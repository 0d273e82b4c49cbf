using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Encryption;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>What has become of asking a server for TLS.</summary>
internal enum EncryptionAnswer
{
    /// <summary>The server has not answered yet.</summary>
    None,

    /// <summary>It refuses, and it may: go on in the clear.</summary>
    Plain,

    /// <summary>The handshake has begun; <see cref="IConnectionHandler.OnSecured"/> follows.</summary>
    Handshake,

    /// <summary>The connection is of no use; <see cref="EncryptionRequest.Error"/> says why.</summary>
    Failed,
}

/// <summary>
/// The step before the first packet to a server: asks for TLS as server_tls_sslmode says. For everything that connects
/// to servers, cancel requests included.
/// </summary>
internal sealed class EncryptionRequest
{
    private readonly ServerTls _tls;
    private readonly string _host;

    private EncryptionRequest(ServerTls tls, string host)
    {
        _tls = tls;
        _host = host;
    }

    /// <summary>Why <see cref="EncryptionAnswer.Failed"/>.</summary>
    public PgError? Error { get; private set; }

    /// <summary>Begins on a fresh connection.</summary>
    /// <param name="tls">Null when servers are not asked.</param>
    /// <param name="connection">The connection, just established.</param>
    /// <param name="target">Where it leads.</param>
    /// <param name="host">The host as configured, when it is a name or an address.</param>
    /// <returns>Null when there is nothing to ask: go on in the clear.</returns>
    public static EncryptionRequest? Begin(ServerTls? tls, Connection connection, EndPoint target, string? host)
    {
        if (tls is null || target.AddressFamily == AddressFamily.Unix) return null;
        var request = new EncryptionRequest(tls, host ?? ((IPEndPoint)target).Address.ToString());
        if (tls.IsDirect) connection.StartTls(tls.CreateHandshake(request._host), []);
        else connection.Send(SslRequest);
        return request;
    }

    /// <summary>The server has sent something before the handshake.</summary>
    public EncryptionAnswer Receive(Connection connection, ReadOnlySpan<byte> data)
    {
        switch (data)
        {
            case []:
                return EncryptionAnswer.None;
            // As with clients: what comes in the clear behind the answer is nobody's we could trust (CVE-2021-3935).
            case [(byte)'S' or (byte)'N', _, ..]:
                return Fail("received unencrypted data after SSL response");
            case [(byte)'S']:
                connection.StartTls(_tls.CreateHandshake(_host), []);
                return EncryptionAnswer.Handshake;
            case [(byte)'N']:
                return _tls.IsRequired ? Fail("server refused SSL") : EncryptionAnswer.Plain;
            // The text is not shown: until there is TLS it could be anybody's (CVE-2024-10977).
            case [(byte)'E', ..]:
                return Fail("server answered the SSLRequest with an error");
            default:
                return Fail("bad sslreq answer");
        }
    }

    private EncryptionAnswer Fail(string reason)
    {
        Error = PgError.Fatal(SqlState.ConnectionFailure, reason, hint: "See server_tls_sslmode.");
        return EncryptionAnswer.Failed;
    }

    private static ReadOnlySpan<byte> SslRequest => [0, 0, 0, 8, 4, 210, 22, 47];
}
