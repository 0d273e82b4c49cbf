using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth.Hba;

/// <summary>Finds the HBA line that applies to a login and goes on with its method.</summary>
internal sealed class HbaAuthentication(AuthenticationRequest login, IHostNames hostNames) : StagedAuthentication(login.UserName)
{
    private const string NoMethod = "no authentication method is found";

    private readonly HbaFacts _facts = new();

    public override AuthStep Start(MessageWriter output) => Search(output);

    private protected override AuthStep ResumeSearch(MessageWriter output)
    {
        if (Work is null) return BreakOutOfTurn();
        // Asked again, it might fail again, for ever.
        return Work.IsCompletedSuccessfully ? Search(output) : TurnAway(NoMethod, $"what auth_hba_file asks for could not be found out: {Work.Exception?.InnerException?.Message}");
    }

    private AuthStep Search(MessageWriter output)
    {
        var verdict = HbaMatcher.Find(login.Access.Rules, login, _facts);
        if (verdict.Question is { } question)
        {
            Work = _facts.FindAsync(question, login, hostNames);
            return AuthStep.Working;
        }

        if (verdict.Unanswered is { } role)
        {
            return TurnAway(
                NoMethod,
                $"{verdict.Rule!.Where} asks for members of role \"{role}\", and the server can't be asked about them: auth_user is not set, or its query failed");
        }

        if (verdict.Rule is not { } rule) return TurnAway(NoMethod, "no line of auth_hba_file is about this login");
        Rule = rule;
        if (CertificateCheck.Objection(rule, login) is { } problem) return TurnAway("connection requires a valid client certificate", problem);
        return GoOnWith(Create(login with { Method = rule.Method, Rule = rule }), output);
    }
}
