using System.Net.Sockets;
using Pooler.Engine.Encryption;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>TLS with the server, settled before the first packet.</summary>
internal sealed partial class ServerSession
{
    private EncryptionRequest? _encryption;
    private bool _encryptionSettled;

    /// <summary>
    /// Whether the login may begin. If not, <see cref="OnConnected"/> is called again when it may.
    /// </summary>
    private bool IsEncryptionSettled(Connection connection)
    {
        if (_encryptionSettled) return true;
        _encryption = EncryptionRequest.Begin(_engine.Tls.Servers, connection, Target!, Address!.Host.Name);
        return _encryption is null;
    }

    public void OnSecured(Connection connection)
    {
        _engine.OnServerSecured(this, connection.Tls!);
        GoOn(connection);
    }

    /// <summary>Bytes from the server while TLS is being asked for.</summary>
    private int ReceiveEncryptionAnswer(ReadOnlySpan<byte> data)
    {
        var connection = Connection!;
        switch (_encryption!.Receive(connection, data))
        {
            case EncryptionAnswer.Plain:
                GoOn(connection);
                break;
            case EncryptionAnswer.Failed:
                FailLogin(_encryption.Error!);
                break;
        }
        return data.Length;
    }

    /// <summary>Another attempt begins, on a fresh connection.</summary>
    private void ForgetEncryption()
    {
        _encryption = null;
        _encryptionSettled = false;
    }

    private void GoOn(Connection connection)
    {
        _encryption = null;
        _encryptionSettled = true;
        OnConnected(connection);
    }

    /// <summary>Why logging in failed, when it was TLS.</summary>
    private PgError? HandshakeError(Exception? error) =>
        _encryption is null || error is null or SocketException
            ? null
            : PgError.Fatal(SqlState.ConnectionFailure, $"TLS handshake with server {Target} failed: {PeerCheck.Describe(error)}",
                hint: "See the server_tls_ settings.");
}
