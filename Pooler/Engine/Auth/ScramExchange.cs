using System.Security.Cryptography;
using System.Text;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// SCRAM-SHA-256 as the server (RFC 5802), over TLS also with channel binding (SCRAM-SHA-256-PLUS, RFC 5929). A plain secret gets a salt here, fixed for the process, and its keys are
/// derived while the client computes its own; a user without a secret gets a salt made in the same way.
/// </summary>
internal sealed class ScramExchange : ClientAuthentication
{
    private static readonly byte[] ProcessKey = RandomNumberGenerator.GetBytes(32);

    private readonly Secret? _secret;
    private readonly string? _missing;
    private readonly byte[] _salt;
    private readonly int _iterations;
    private readonly ReadOnlyMemory<byte> _binding;
    private Task<ScramKeys>? _derivation;
    private State _state;
    private string _expectedBinding = "";
    private string _nonce = "";
    private string _clientFirstBare = "";
    private string _serverFirst = "";
    private string _clientFinalWithoutProof = "";
    private byte[] _proof = [];

    /// <param name="userName">Who the client says it is.</param>
    /// <param name="secret">A plain or SCRAM secret; null goes through the motions and turns away.</param>
    /// <param name="missing">Why there is no secret.</param>
    /// <param name="iterations">For keys derived here.</param>
    /// <param name="binding">tls-server-end-point of the connection; empty: no channel binding is offered.</param>
    public ScramExchange(string userName, Secret? secret, string? missing, int iterations, ReadOnlyMemory<byte> binding)
        : base(userName)
    {
        _binding = binding;
        (_secret, _missing) = (secret, missing);
        (_salt, _iterations) = secret is { Kind: SecretKind.Scram } ? (secret.Salt, secret.Iterations) : (SaltFor(userName, secret), iterations);
    }

    private enum State
    {
        /// <summary>The request has not been sent.</summary>
        New,

        /// <summary>The client's first message is awaited.</summary>
        AwaitsFirst,

        /// <summary>The client's final message is awaited.</summary>
        AwaitsFinal,

        /// <summary>The proof is there and our own keys are not yet.</summary>
        Deriving,

        /// <summary>Decided.</summary>
        Ended,
    }

    /// <summary>The keys of a plain secret, derived once per process.</summary>
    public static Task<ScramKeys> DeriveFrom(string userName, Secret secret, int iterations) =>
        ScramKeyCache.Shared.Get(SaslPrep.Prepare(secret.Text), SaltFor(userName, secret), iterations);

    private protected override string LoggedRefusal => "SASL authentication failed";

    public override AuthStep Start(MessageWriter output)
    {
        if (_state != State.New) return BreakOutOfTurn();
        if (_binding.IsEmpty) output.AuthenticationSasl(Scram.Mechanism);
        else output.AuthenticationSasl(Scram.MechanismPlus, Scram.Mechanism);
        _state = State.AwaitsFirst;
        return AuthStep.Continue;
    }

    public override AuthStep Receive(ReadOnlySpan<byte> body, MessageWriter output)
    {
        var state = _state;
        _state = State.Ended;
        return state switch
        {
            State.AwaitsFirst => ReceiveFirst(body, output),
            State.AwaitsFinal => ReceiveFinal(body, output),
            _ => BreakOutOfTurn(),
        };
    }

    public override AuthStep Resume(MessageWriter output)
    {
        if (_state != State.Deriving || _derivation is not { IsCompletedSuccessfully: true }) return BreakOutOfTurn();
        _state = State.Ended;
        return Verify(_derivation.Result.StoredKey, _derivation.Result.ServerKey, output);
    }

    private AuthStep ReceiveFirst(ReadOnlySpan<byte> body, MessageWriter output)
    {
        var reader = new MessageReader(body);
        if (!reader.TryReadCString(out var mechanism)) return Malformed("the mechanism is missing");
        var isPlus = mechanism.SequenceEqual(Scram.MechanismPlus) && !_binding.IsEmpty;
        if (!isPlus && !mechanism.SequenceEqual(Scram.Mechanism)) return Break("the client chose a SASL mechanism that was not offered");
        if (!reader.TryReadInt32(out var length) || length != reader.Rest.Length) return Malformed("the first message has the wrong length");
        if (Scram.ReadText(reader.Rest, Scram.MaxMessageLength) is not { } text) return Malformed("the first message is empty, too long or has a zero byte");

        // gs2-header: channel-binding flag, comma, optional authorization identity, comma.
        if (ReadFlag(text, isPlus, out var flag) is { } broken) return broken;
        var identity = text.AsSpan(flag.Length);
        if (identity.StartsWith("a")) return Break("authorization identities are not supported", sqlState: SqlState.FeatureNotSupported);
        if (!identity.StartsWith(",")) return Malformed("unexpected attribute before the user name");
        _expectedBinding = Scram.EncodeBinding(flag + ",", isPlus ? _binding.Span : []);
        _clientFirstBare = text[(flag.Length + 1)..];

        var rest = _clientFirstBare.AsSpan();
        if (rest.StartsWith("m=")) return Break("the client requires a SCRAM extension that is not supported", sqlState: SqlState.FeatureNotSupported);

        // The name counts for nothing: the startup packet has said who the client is.
        if (!Scram.TakeAttribute(ref rest, 'n', out _)) return Malformed("the user name is missing");
        if (!Scram.TakeAttribute(ref rest, 'r', out var clientNonce) || !Scram.IsNonce(clientNonce)) return Malformed("the nonce is missing or malformed");
        while (!rest.IsEmpty)
        {
            if (!Scram.TakeAttribute(ref rest, out _, out _)) return Malformed("malformed extension");
        }

        _nonce = string.Concat(clientNonce, Scram.NewNonce());
        _serverFirst = $"r={_nonce},s={Convert.ToBase64String(_salt)},i={_iterations}";
        output.AuthenticationSaslContinue(Encoding.ASCII.GetBytes(_serverFirst));
        if (_secret is { Kind: SecretKind.Plain }) _derivation = DeriveFrom(UserName, _secret, _iterations);
        _state = State.AwaitsFinal;
        return AuthStep.Continue;
    }

    /// <summary>Reads the channel-binding flag with its comma; not null when it cannot be.</summary>
    private AuthStep? ReadFlag(string text, bool isPlus, out string flag)
    {
        var comma = text.IndexOf(',');
        flag = comma < 0 ? "" : text[..(comma + 1)];
        switch (flag)
        {
            case "n," when !isPlus:
            case "y," when !isPlus && _binding.IsEmpty:
                return null;
            case "y," when !isPlus:
                // It can do channel binding and has not seen that we offered it: somebody took the offer away.
                return Break(
                    "SCRAM channel binding negotiation error",
                    "The client supports SCRAM channel binding but thinks the server does not. However, this server does support channel binding.",
                    SqlState.InvalidAuthorization);
            case "n," or "y,":
                return Malformed("the client chose SCRAM-SHA-256-PLUS without channel binding");
            case $"p={Scram.BindingType}," when isPlus:
                return null;
        }
        if (!flag.StartsWith("p=", StringComparison.Ordinal)) return Malformed("unexpected channel-binding flag");
        return isPlus
            ? Break("unsupported SCRAM channel-binding type", sqlState: SqlState.ProtocolViolation)
            : Break("the client requires channel binding, which was not offered");
    }

    private AuthStep ReceiveFinal(ReadOnlySpan<byte> body, MessageWriter output)
    {
        if (Scram.ReadText(body, Scram.MaxMessageLength) is not { } text) return Malformed("the final message is empty, too long or has a zero byte");
        var rest = text.AsSpan();
        if (!Scram.TakeAttribute(ref rest, 'c', out var binding)) return Malformed("the channel binding is missing");
        if (!binding.SequenceEqual(_expectedBinding))
        {
            return Break(
                "SCRAM channel binding check failed",
                "What the client bound to is not this connection: somebody between may have ended TLS, or the header has been changed.",
                SqlState.InvalidAuthorization);
        }
        if (!Scram.TakeAttribute(ref rest, 'r', out var nonce)) return Malformed("the nonce is missing");
        if (!nonce.SequenceEqual(_nonce)) return Break("the SCRAM nonce is not the one of this exchange");

        while (!rest.StartsWith("p="))
        {
            if (!Scram.TakeAttribute(ref rest, out _, out _)) return Malformed("the proof is missing");
        }

        // The comma before the proof is not part of what is signed.
        var beforeProof = text.Length - rest.Length - 1;
        Scram.TakeAttribute(ref rest, out _, out var encodedProof);
        if (!rest.IsEmpty || text[^1] == ',') return Malformed("the final message goes on after the proof");
        if (Scram.Decode(encodedProof) is not { Length: ScramKeys.Length } proof) return Malformed("the proof is malformed");
        _proof = proof;
        _clientFinalWithoutProof = text[..beforeProof];

        switch (_secret?.Kind)
        {
            case SecretKind.Scram:
                return Verify(_secret.StoredKey, _secret.ServerKey, output);
            case SecretKind.Plain when _derivation!.IsCompletedSuccessfully:
                return Verify(_derivation.Result.StoredKey, _derivation.Result.ServerKey, output);
            case SecretKind.Plain:
                Work = _derivation;
                _state = State.Deriving;
                return AuthStep.Working;
            default:
                // The same computations as for a known user, with keys that nothing matches.
                return Verify(ProcessKey, ProcessKey, output);
        }
    }

    private AuthStep Verify(byte[] storedKey, byte[] serverKey, MessageWriter output)
    {
        var signature = Scram.Sign(storedKey, _clientFirstBare, _serverFirst, _clientFinalWithoutProof);
        var clientKey = Scram.Xor(_proof, signature);
        var isRight = CryptographicOperations.FixedTimeEquals(SHA256.HashData(clientKey), storedKey);
        if (!isRight || _secret is null) return Reject(_missing ?? "wrong password");

        if (_secret.Kind == SecretKind.Scram) ScramKeys = new ScramKeys(clientKey, serverKey);
        var serverSignature = Scram.Sign(serverKey, _clientFirstBare, _serverFirst, _clientFinalWithoutProof);
        output.AuthenticationSaslFinal(Encoding.ASCII.GetBytes("v=" + Convert.ToBase64String(serverSignature)));
        return AuthStep.Succeeded;
    }

    private AuthStep Malformed(string detail) => Break("malformed SCRAM message", detail);

    // Stable while the process lives, or a second attempt would tell made-up salts from real ones; different for every
    // user and password, so that a changed password changes it.
    private static byte[] SaltFor(string userName, Secret? secret) =>
        HMACSHA256.HashData(ProcessKey, Encoding.UTF8.GetBytes($"{userName}\0{secret?.Text}"))[..Scram.SaltLength];
}
