using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// Asks the server about a user that the configuration gives no secret of (<c>auth_query</c>), anew at each login, and
/// goes on with what it says.
/// </summary>
internal sealed class AuthQueryExchange(AuthenticationRequest request) : StagedAuthentication(request.UserName)
{
    private Task<QueriedUser>? _search;

    public override AuthStep Start(MessageWriter output)
    {
        if (_search is not null) return BreakOutOfTurn();
        _search = request.UserQueries!.FindUserAsync(UserName);
        if (_search.IsCompletedSuccessfully) return ResumeSearch(output);
        Work = _search;
        return AuthStep.Working;
    }

    private protected override AuthStep ResumeSearch(MessageWriter output)
    {
        if (_search is not { IsCompletedSuccessfully: true }) return BreakOutOfTurn();
        var (error, name, secret, reason) = _search.Result;
        if (error is not null)
        {
            FailureReason = reason ?? error.Message;
            Error = error;
            return AuthStep.Failed;
        }
        // The client is told, as by PgBouncer; a query that returns a made-up secret for unknown names hides them.
        if (name is null) return Break("no such user");
        LoginName = name;
        FoundSecret = secret;
        return GoOnWith(Create(request with
        {
            UserName = name,
            UserIsKnown = true,
            Secret = secret,
            IsQueried = false,
            // Who turns out to be somebody else comes under the rules for that user.
            Method = request.Rule is not null && name != UserName ? AuthType.Hba : request.Method,
        }), output);
    }
}
