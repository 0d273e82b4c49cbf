using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Unicode;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// Asks for the password in clear text and has it checked elsewhere (<see cref="IPasswordVerifier"/>). The verifier
/// blocks, so it gets a thread of its own; so many at once and no more, lest a slow directory costs a thread for each
/// client that waits for it.
/// </summary>
internal sealed class VerifiedExchange(string userName, IPasswordVerifier verifier, EndPoint? client) : CleartextExchange(userName)
{
    /// <summary>How many passwords are checked at the same time.</summary>
    public const int MostAtOnce = 8;

    // One per kind of verifier: a directory that hangs does not keep PAM's users out.
    private static readonly SemaphoreSlim LdapPlaces = new(MostAtOnce);
    private static readonly SemaphoreSlim OtherPlaces = new(MostAtOnce);

    private readonly CancellationTokenSource _left = new();
    private byte[] _password = [];
    private Task<string?>? _verification;

    private protected override AuthStep Check(ReadOnlySpan<byte> password)
    {
        _password = password.ToArray();
        return CheckBy(_verification = VerifyAsync());
    }

    private protected override AuthStep Decide()
    {
        var objection = _verification!.Result;
        if (objection is null)
        {
            if (Utf8.IsValid(_password)) PlainPassword = Encoding.UTF8.GetString(_password);
            FoundSecret = Secret.FromPassword(PlainPassword);
        }
        CryptographicOperations.ZeroMemory(_password);
        if (objection is null) return AuthStep.Succeeded;
        FailureReason = objection;
        // As in PgBouncer what the directory or the modules said is in the log, whatever its level.
        IsRefused = true;
        var failure = $"{verifier.Name} authentication failed";
        Error = PgError.Fatal(SqlState.InvalidAuthorization, $"{failure} for user \"{UserName}\"") with { LoggedAs = failure };
        return AuthStep.Failed;
    }

    public override void Abandon() => _left.Cancel();

    private async Task<string?> VerifyAsync()
    {
        var places = verifier is Ldap.LdapVerifier ? LdapPlaces : OtherPlaces;
        try
        {
            await places.WaitAsync(_left.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return "the client has left";
        }
        try
        {
            return await Task.Factory.StartNew(
                () => verifier.Verify(UserName, _password, client),
                CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).ConfigureAwait(false);
        }
        finally
        {
            places.Release();
        }
    }
}
