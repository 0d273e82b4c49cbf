using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// The pooler proves to a server who it is, with whatever method the server asks for. Receives the bodies of 'R'
/// messages; an ErrorResponse in between is the session's to read (<see cref="ErrorFields"/>).
/// </summary>
/// <param name="credentials">What to log in with.</param>
/// <param name="binding">tls-server-end-point of the connection; empty without TLS and where it is undefined.</param>
/// <param name="channelBinding">Whether the login must be bound to the TLS connection.</param>
public sealed class ServerAuthentication(
    ServerCredentials credentials, ReadOnlyMemory<byte> binding = default, ChannelBindingMode channelBinding = ChannelBindingMode.Prefer)
    : AuthExchange
{
    /// <summary>Longest body of an 'R' message that is taken from a server, in bytes.</summary>
    public const int MaxMessageLength = 8192;

    // The most a server may have us compute, some seconds of one core. PostgreSQL's default is 4,096.
    private const int MaxIterations = 10_000_000;

    private const string BindingHint =
        "server_channel_binding is require: it takes TLS with the server (server_tls_sslmode), a certificate whose signature has a hash function, and scram-sha-256 in its pg_hba.conf.";

    // Far beyond PostgreSQL's 16 bytes.
    private const int MaxSaltLength = 1024;

    private State _state;
    private string _gs2Header = "n,,";
    private bool _isBound;
    private string _clientNonce = "";
    private string _clientFirstBare = "";
    private string _serverFirst = "";
    private string _nonce = "";
    private Task<ScramKeys>? _derivation;
    private byte[] _serverSignature = [];

    private enum State
    {
        /// <summary>The server has asked for nothing yet.</summary>
        New,

        /// <summary>A password or the answer to an MD5 challenge is sent; the verdict is awaited.</summary>
        AwaitsVerdict,

        /// <summary>Our first SCRAM message is sent.</summary>
        AwaitsChallenge,

        /// <summary>Keys are derived for the server's salt.</summary>
        Deriving,

        /// <summary>Our proof is sent; the server's own is awaited.</summary>
        AwaitsProof,

        /// <summary>Decided.</summary>
        Ended,
    }

    /// <inheritdoc/>
    public override AuthStep Start(MessageWriter output) => AuthStep.Continue;

    /// <inheritdoc/>
    public override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output)
    {
        var state = _state;
        _state = State.Ended;
        var reader = new MessageReader(body);
        if (body.Length > MaxMessageLength || !reader.TryReadInt32(out var code)) return Broken("its authentication request has the wrong length");
        if (channelBinding == ChannelBindingMode.Require && ObjectTo(code) is { } objection) return Fail(objection, BindingHint);
        switch (code, state)
        {
            case (AuthenticationCode.Ok, State.New or State.AwaitsVerdict):
                return AuthStep.Succeeded;
            case (AuthenticationCode.Ok, State.AwaitsChallenge or State.AwaitsProof):
                return Broken("it let us in without proving that it knows the password, as SCRAM demands of a server");
            case (AuthenticationCode.CleartextPassword, State.New):
                return SendPassword(output);
            case (AuthenticationCode.Md5Password, State.New):
                return SendMd5(reader.Rest, output);
            case (AuthenticationCode.Sasl, State.New):
                return SendFirst(reader, output);
            case (AuthenticationCode.SaslContinue, State.AwaitsChallenge):
                return ReceiveChallenge(reader.Rest, output);
            case (AuthenticationCode.SaslFinal, State.AwaitsProof):
                return ReceiveProof(reader.Rest);
            case (AuthenticationCode.KerberosV5, _):
                return Unsupported("Kerberos V5");
            case (AuthenticationCode.Gss or AuthenticationCode.GssContinue, _):
                return Unsupported("GSSAPI");
            case (AuthenticationCode.Sspi, _):
                return Unsupported("SSPI");
            case (AuthenticationCode.Ok or AuthenticationCode.CleartextPassword or AuthenticationCode.Md5Password
                or AuthenticationCode.Sasl or AuthenticationCode.SaslContinue or AuthenticationCode.SaslFinal, _):
                return Broken("its authentication messages are out of order");
            default:
                return Unsupported($"number {code}");
        }
    }

    /// <inheritdoc/>
    public override AuthStep Resume(MessageWriter output)
    {
        if (_state != State.Deriving || _derivation is not { IsCompletedSuccessfully: true }) return Broken("its authentication messages are out of order");
        return SendProof(_derivation.Result, output);
    }

    private AuthStep SendPassword(MessageWriter output)
    {
        if (credentials.Password is not { } password) return NoPassword("the password in clear text");
        output.PasswordMessage(Encoding.UTF8.GetBytes(password));
        _state = State.AwaitsVerdict;
        return AuthStep.Continue;
    }

    private AuthStep SendMd5(ReadOnlySpan<byte> salt, MessageWriter output)
    {
        if (salt.Length != 4) return Broken("its MD5 salt has the wrong length");
        if (credentials.Secret is null || Md5Password.FromSecret(credentials.Secret, credentials.UserName) is not { } stored)
            return NoPassword("md5");
        output.PasswordMessage(Md5Password.Answer(stored, salt));
        _state = State.AwaitsVerdict;
        return AuthStep.Continue;
    }

    private AuthStep SendFirst(MessageReader mechanisms, MessageWriter output)
    {
        var (isOffered, isPlusOffered) = (false, false);
        while (mechanisms.TryReadCString(out var mechanism) && !mechanism.IsEmpty)
        {
            isOffered |= mechanism.SequenceEqual(Scram.Mechanism);
            isPlusOffered |= mechanism.SequenceEqual(Scram.MechanismPlus);
        }
        var canBind = !binding.IsEmpty && channelBinding != ChannelBindingMode.Disable;
        _isBound = isPlusOffered && canBind;
        if (!_isBound && channelBinding == ChannelBindingMode.Require)
        {
            return Fail(
                binding.IsEmpty ? "channel binding is required, but the connection to the server has none to bind to" : "channel binding is required, but the server did not offer it",
                BindingHint);
        }
        if (!isOffered && !_isBound) return Unsupported(isPlusOffered ? "SCRAM-SHA-256-PLUS without TLS" : "SASL without SCRAM-SHA-256");
        if (credentials.Password is null && credentials.ScramKeys is null) return NoPassword("scram-sha-256");

        // The user is named by the startup packet; PostgreSQL ignores the name here.
        _clientNonce = Scram.NewNonce();
        _clientFirstBare = $"n=,r={_clientNonce}";
        // "y": we could and the server did not offer; it finds out if somebody took its offer away.
        _gs2Header = _isBound ? Scram.BindingHeader : canBind ? "y,," : "n,,";
        output.SaslInitialResponse(_isBound ? Scram.MechanismPlus : Scram.Mechanism, Encoding.ASCII.GetBytes(_gs2Header + _clientFirstBare));
        _state = State.AwaitsChallenge;
        return AuthStep.Continue;
    }

    private AuthStep ReceiveChallenge(ReadOnlySpan<byte> data, MessageWriter output)
    {
        if (Scram.ReadText(data, Scram.MaxServerMessageLength) is not { } text) return Broken("its SCRAM challenge is empty, too long or has a zero byte");
        var rest = text.AsSpan();
        if (!Scram.TakeAttribute(ref rest, 'r', out var nonce) || !Scram.IsNonce(nonce)) return Broken("its SCRAM nonce is missing or malformed");
        if (nonce.Length <= _clientNonce.Length || !nonce.StartsWith(_clientNonce)) return Broken("its SCRAM nonce does not continue ours");
        if (!Scram.TakeAttribute(ref rest, 's', out var encodedSalt)) return Broken("its SCRAM salt is missing");
        if (Scram.Decode(encodedSalt) is not { Length: > 0 and <= MaxSaltLength } salt) return Broken("its SCRAM salt is malformed");
        if (!Scram.TakeAttribute(ref rest, 'i', out var count)
            || !int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out var iterations) || iterations < 1)
            return Broken("its SCRAM iteration count is missing or malformed");
        if (iterations > MaxIterations)
        {
            return Fail(
                $"the server asks for {iterations} SCRAM iterations, the pooler computes {MaxIterations} at most",
                "More would let a hostile server occupy the pooler's processors. Set the user's password again with a lower scram_iterations.");
        }

        _serverFirst = text;
        _nonce = nonce.ToString();
        if (credentials.Password is { } password)
        {
            _derivation = ScramKeyCache.Shared.Get(SaslPrep.Prepare(password), salt, iterations);
            if (_derivation.IsCompletedSuccessfully) return SendProof(_derivation.Result, output);
            Work = _derivation;
            _state = State.Deriving;
            return AuthStep.Working;
        }

        if (credentials.Secret is { Kind: SecretKind.Scram } secret && (secret.Iterations != iterations || !secret.Salt.AsSpan().SequenceEqual(salt)))
        {
            return Fail(
                $"the SCRAM secret of user \"{credentials.UserName}\" is not the one the server stores",
                "A SCRAM secret opens the server only when it is identical there (SELECT rolpassword FROM pg_authid); or give the pooler the password itself.");
        }

        return SendProof(credentials.ScramKeys!, output);
    }

    private AuthStep SendProof(ScramKeys keys, MessageWriter output)
    {
        var withoutProof = $"c={Scram.EncodeBinding(_gs2Header, _isBound ? binding.Span : [])},r={_nonce}";
        var proof = Scram.Xor(keys.ClientKey, Scram.Sign(keys.StoredKey, _clientFirstBare, _serverFirst, withoutProof));
        _serverSignature = Scram.Sign(keys.ServerKey, _clientFirstBare, _serverFirst, withoutProof);
        output.SaslResponse(Encoding.ASCII.GetBytes($"{withoutProof},p={Convert.ToBase64String(proof)}"));
        _state = State.AwaitsProof;
        return AuthStep.Continue;
    }

    private AuthStep ReceiveProof(ReadOnlySpan<byte> data)
    {
        if (Scram.ReadText(data, Scram.MaxServerMessageLength) is not { } text) return Broken("its SCRAM outcome is empty, too long or has a zero byte");
        var rest = text.AsSpan();
        if (!Scram.TakeAttribute(ref rest, out var name, out var value)) return Broken("its SCRAM outcome is malformed");
        if (name == 'e') return Fail($"the server reports a SCRAM error: {Printable(value)}");
        if (name != 'v' || Scram.Decode(value) is not { Length: ScramKeys.Length } signature) return Broken("its SCRAM signature is missing or malformed");
        if (!CryptographicOperations.FixedTimeEquals(signature, _serverSignature))
            return Fail("the server could not prove that it knows the password", "Whatever answers at this address may not be the server it claims to be.");

        // AuthenticationOk follows.
        _state = State.AwaitsVerdict;
        return AuthStep.Continue;
    }

    private static string Printable(ReadOnlySpan<char> text)
    {
        var builder = new StringBuilder();
        foreach (var c in text[..Math.Min(text.Length, 100)]) builder.Append(c is >= ' ' and <= '~' ? c : '?');
        return builder.ToString();
    }

    private string? ObjectTo(int code) => code switch
    {
        AuthenticationCode.Ok when !_isBound => "channel binding is required, but the server let us in without it",
        AuthenticationCode.CleartextPassword or AuthenticationCode.Md5Password => "channel binding is required, but the server asks for a password without it",
        _ => null,
    };

    private AuthStep NoPassword(string method) => Fail(
        $"server login failed: wrong password type (the server asks for {method} and the pooler has no suitable secret of user \"{credentials.UserName}\")",
        "Give the password in auth_file, as password= of the [databases] entry, or in DATABASES_PASSWORD. "
        + "An md5 secret serves for md5 only; a SCRAM secret only after a client has logged in with scram-sha-256.");

    private AuthStep Unsupported(string method) => Fail(
        $"the server asks for an authentication method the pooler does not support: {method}",
        $"Allow scram-sha-256 for user \"{credentials.UserName}\" from this host in the server's pg_hba.conf.");

    private AuthStep Broken(string reason)
    {
        _state = State.Ended;
        Error = PgError.Fatal(SqlState.ProtocolViolation, $"the login to the server failed: {reason}");
        return AuthStep.Failed;
    }

    private AuthStep Fail(string message, string? hint = null)
    {
        Error = PgError.Fatal(SqlState.ConnectionRejected, message, hint);
        return AuthStep.Failed;
    }
}
