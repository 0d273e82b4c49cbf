namespace Pooler.Engine.Auth;

/// <summary>What the pooler can show a server to log in as a user.</summary>
/// <param name="userName">The user on the server.</param>
/// <param name="secret">Its stored secret: a plain one serves for every method, an md5 one for md5 only.</param>
/// <param name="scramKeys">
/// For a SCRAM secret: the keys that a client's own login revealed (<see cref="ClientAuthentication.ScramKeys"/>). They
/// serve where the server stores the identical secret.
/// </param>
public sealed class ServerCredentials(string userName, Secret? secret, ScramKeys? scramKeys = null)
{
    /// <summary>The user on the server.</summary>
    public string UserName { get; } = userName;

    /// <summary>Its stored secret.</summary>
    public Secret? Secret { get; } = secret;

    /// <summary>Keys learned from a client.</summary>
    public ScramKeys? ScramKeys { get; } = scramKeys;

    /// <summary>The password, when the secret is a plain one.</summary>
    internal string? Password => Secret is { Kind: SecretKind.Plain } ? Secret.Text : null;

    /// <summary>Names the user and never the secret.</summary>
    public override string ToString() => $"credentials of {UserName}";
}
