using System.Net.Sockets;
using Pooler.Engine.Encryption;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Sessions;

/// <summary>How a client asks for encryption, and what it must ask for.</summary>
internal sealed partial class LoginSession
{
    private bool _tlsBegun;

    private bool IsUnix => _connection.LocalEndPoint?.AddressFamily == AddressFamily.Unix;

    /// <summary>client_tls_sslmode demands TLS and the client goes without; Unix sockets never leave the machine.</summary>
    private bool LacksTls => Engine.Tls.Clients is { IsRequired: true } && _connection.Tls is null && !IsUnix;

    public void OnSecured(Connection connection)
    {
    }

    /// <summary>
    /// TLS from the first byte on. No startup packet begins so: it would be hundreds of megabytes long.
    /// </summary>
    private bool BeginsDirectTls(ReadOnlySpan<byte> data)
    {
        if (data is not [TlsRecord.Handshake, ..] || _sslAsked || _gssAsked || _connection.Tls is not null || IsUnix
            || Engine.Tls.Clients is not { } tls)
        {
            return false;
        }
        StartTls(tls, direct: true, data);
        return true;
    }

    /// <returns>Whether the request was answered; otherwise the client has been turned away.</returns>
    private bool AnswerSslRequest(bool bytesFollow)
    {
        _sslAsked = true;
        if (bytesFollow)
        {
            // Nobody sends on before the answer: somebody on the way has put them there, for us to take for the
            // client's once it is encrypted (CVE-2021-3935).
            Fail(PgError.Fatal(SqlState.ProtocolViolation, "received unencrypted data after SSL request"));
            return false;
        }
        if (Engine.Tls.Clients is not { } tls || IsUnix)
        {
            _connection.Send("N"u8);
            return true;
        }
        _connection.Send("S"u8);
        StartTls(tls, direct: false, []);
        return true;
    }

    private bool AnswerGssRequest(bool bytesFollow)
    {
        _gssAsked = true;
        if (bytesFollow)
        {
            Fail(PgError.Fatal(SqlState.ProtocolViolation, "received unencrypted data after GSSAPI encryption request"));
            return false;
        }
        _connection.Send("N"u8);
        return true;
    }

    private void StartTls(ClientTls tls, bool direct, ReadOnlySpan<byte> received)
    {
        _tlsBegun = true;
        _connection.StartTls(tls.CreateHandshake(direct), received);
    }

    private void LogFailedHandshake(Exception? error)
    {
        if (!_tlsBegun || _connection.Tls is not null || error is null or SocketException) return;
        Engine.Events.LoginRefusals.Add(LoginRefusal.Tls);
        Engine.Log.TlsHandshakeFailed(LogName, PeerCheck.Describe(error));
    }
}
