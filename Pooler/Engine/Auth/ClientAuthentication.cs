using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Auth.Ldap;
using Pooler.Engine.Auth.Pam;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// A client proves to us who it is. On success the session still has to send AuthenticationOk; on failure it sends
/// <see cref="AuthExchange.Error"/>. Receives the bodies of 'p' messages and of nothing else: any other message while
/// an exchange is under way, a second startup packet above all, ends the connection (CVE-2026-107350).
/// </summary>
public abstract class ClientAuthentication : AuthExchange
{
    /// <summary>Longest body of a 'p' message in bytes, PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH. Check before buffering one.</summary>
    public const int MaxMessageLength = 65535;

    private protected ClientAuthentication(string userName) => UserName = LoginName = userName;

    /// <summary>Who the client says it is.</summary>
    public string UserName { get; }

    /// <summary>
    /// Why the client was turned away, for the log: the client itself is told less. Contains no secret.
    /// </summary>
    public string? FailureReason { get; private protected set; }

    /// <summary>
    /// With a failure: rules and settings turn the client away, which an administrator wants to know, and not what the
    /// client answered.
    /// </summary>
    internal bool IsRefused { get; private protected set; }

    /// <summary>After success with a password in clear text: that password, if it is valid UTF-8. Never log it.</summary>
    public string? PlainPassword { get; private protected set; }

    /// <summary>
    /// After success against a stored SCRAM secret: the keys with which one can log in to a server that stores the
    /// same secret (see <see cref="ServerCredentials"/>).
    /// </summary>
    public ScramKeys? ScramKeys { get; private protected set; }

    /// <summary>After success: who the client is. Another name than <see cref="UserName"/> only where auth_query answered with one.</summary>
    public string LoginName { get; private protected set; }

    /// <summary>After success: a secret that was found out on the way (auth_query) and that servers may be logged in to with.</summary>
    public Secret? FoundSecret { get; private protected set; }

    /// <summary>With HBA: the line that applied, admitted the client or not.</summary>
    internal HbaRule? Rule { get; private protected set; }

    /// <summary>Chooses the exchange for a login.</summary>
    internal static ClientAuthentication Create(AuthenticationRequest login) => login.Method switch
    {
        AuthType.Hba => new HbaAuthentication(login, SystemHostNames.Instance),
        not (AuthType.Any or AuthType.Ldap or AuthType.Pam or AuthType.Reject) when login is { IsQueried: true, UserQueries: not null } => new AuthQueryExchange(login),
        AuthType.Reject => new RejectExchange(login.UserName, $"{login.Rule?.Where} rejects it"),
        AuthType.Cert => new CertExchange(login),
        AuthType.Peer => new PeerExchange(login, SystemUsers.NameOf),
        AuthType.Ldap => LdapOptions.TryParse(login.Rule?.OptionsText ?? login.Settings.AuthLdapOptions ?? "", out var options, out var error)
            ? new VerifiedExchange(login.UserName, new LdapVerifier(options), login.RemoteEndPoint)
            : new RejectExchange(login.UserName, error),
        AuthType.Pam => new VerifiedExchange(
            login.UserName,
            new PamVerifier(login.Rule?.Option("pamservice") ?? PamVerifier.DefaultService, login.Rule?.Option("pam_use_hostname") == "1"),
            login.RemoteEndPoint),
        _ => Create(login.Method, login.UserName, login.UserIsKnown, login.Secret, login.Settings.ScramIterations, login.Tls?.EndPointBinding ?? default),
    };

    /// <summary>
    /// Chooses an exchange that needs a secret at most. Unknown users and users without a usable secret get the same messages as known ones and
    /// are turned away at the end, so that names can't be tried out.
    /// </summary>
    /// <param name="type"><c>auth_type</c>. With md5, a user whose secret is a SCRAM one is asked for SCRAM.</param>
    /// <param name="userName">Who the client says it is.</param>
    /// <param name="userIsKnown">Whether there is such a user; for trust that is enough.</param>
    /// <param name="secret">The user's stored secret, if there is one.</param>
    /// <param name="scramIterations"><c>scram_iterations</c>: for secrets made here from plain passwords.</param>
    /// <param name="binding">The TLS connection's channel binding data; empty: none can be offered.</param>
    public static ClientAuthentication Create(
        AuthType type, string userName, bool userIsKnown, Secret? secret, int scramIterations, ReadOnlyMemory<byte> binding = default)
    {
        if (!userIsKnown) secret = null;
        var missing = !userIsKnown ? "no such user" : secret is null ? "the user has no password" : null;
        switch (type)
        {
            case AuthType.Any:
            case AuthType.Trust when userIsKnown:
                return new TrustExchange(userName, isTrusted: true);
            case AuthType.Trust:
                return new TrustExchange(userName, isTrusted: false);
            case AuthType.Plain:
                return new PlainExchange(userName, secret, missing);
            case AuthType.Md5 when secret is not { Kind: SecretKind.Scram }:
                return new Md5Exchange(userName, secret, missing);
            case AuthType.Md5:
            case AuthType.ScramSha256:
                if (secret is { Kind: SecretKind.Md5 }) missing = "the user's secret is an md5 one, which can't serve for scram-sha-256";
                return new ScramExchange(userName, missing is null ? secret : null, missing, scramIterations, binding);
            default:
                throw new ArgumentOutOfRangeException(nameof(type), type, "An authentication type without an exchange must never let a client in.");
        }
    }

    /// <summary>
    /// Begins, off the loops, what a plain secret's first SCRAM login would wait for. Worthwhile after the
    /// configuration was loaded: it also takes away the one moment at which a known name could be told by its timing.
    /// </summary>
    public static void Prepare(string userName, Secret secret, int scramIterations)
    {
        if (secret.Kind == SecretKind.Plain) _ = ScramExchange.DeriveFrom(userName, secret, scramIterations);
    }

    /// <summary>Makes another exchange's outcome this one's.</summary>
    private protected void TakeOutcome(ClientAuthentication other)
    {
        FailureReason = other.FailureReason;
        IsRefused = other.IsRefused;
        PlainPassword = other.PlainPassword;
        ScramKeys = other.ScramKeys;
        if (other.LoginName != other.UserName) LoginName = other.LoginName;
        FoundSecret = other.FoundSecret ?? FoundSecret;
        Rule = other.Rule ?? Rule;
    }

    /// <summary>What PgBouncer's log calls a wrong password.</summary>
    private protected virtual string LoggedRefusal => "password authentication failed";

    /// <summary>Turns the client away as PostgreSQL does; the reason is for the log.</summary>
    private protected AuthStep Reject(string reason)
    {
        FailureReason = reason;
        Error = PgError.Fatal(SqlState.InvalidPassword, $"{LoggedRefusal} for user \"{UserName}\"") with { LoggedAs = LoggedRefusal };
        return AuthStep.Failed;
    }

    /// <summary>Turns the client away in PgBouncer's words, which do not depend on a password; the reason is for the log.</summary>
    private protected AuthStep TurnAway(string message, string reason)
    {
        FailureReason = reason;
        IsRefused = true;
        Error = PgError.Fatal(SqlState.InvalidAuthorization, message);
        return AuthStep.Failed;
    }

    /// <summary>Ends an exchange that the client broke.</summary>
    private protected AuthStep Break(string message, string? detail = null, string sqlState = SqlState.ProtocolViolation)
    {
        FailureReason = detail ?? message;
        Error = PgError.Fatal(sqlState, message, detail: detail);
        return AuthStep.Failed;
    }

    private protected AuthStep BreakOutOfTurn() => Break("a password message was not expected here");

    /// <summary>Reads a PasswordMessage: one string, not empty, and nothing after it.</summary>
    private protected bool TryReadPassword(ReadOnlySpan<byte> body, out ReadOnlySpan<byte> password)
    {
        var reader = new MessageReader(body);
        if (body.Length > MaxMessageLength || !reader.TryReadCString(out password) || !reader.AtEnd)
        {
            password = default;
            Break("the password message has the wrong length");
            return false;
        }

        if (!password.IsEmpty) return true;
        Reject("the client sent an empty password");
        return false;
    }
}
