using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth.Hba;

/// <summary>What the lines say to a login.</summary>
/// <param name="Rule">The line that applies, or at which it can't be told whether it does.</param>
/// <param name="Question">What must be found out first; null otherwise.</param>
/// <param name="Unanswered">The role of which nobody can say who its members are: nobody may log in past this line.</param>
internal readonly record struct HbaVerdict(HbaRule? Rule, HbaQuestion? Question = null, string? Unanswered = null);

/// <summary>Finds the line that applies to a login: the first whose columns all fit.</summary>
internal static class HbaMatcher
{
    /// <summary>Reads the lines as far as the facts allow. Call again when the question is answered.</summary>
    public static HbaVerdict Find(IReadOnlyList<HbaRule> rules, AuthenticationRequest login, HbaFacts facts)
    {
        foreach (var rule in rules)
        {
            // What is cheap and certain comes first: a lookup is only worth it for a line that hangs on it alone.
            if (!FitsConnection(rule.ConnectionType, login)) continue;
            var database = FitsDatabase(rule.Databases, login);
            var user = FitsUser(rule.Users, login);
            if (database == Fit.No || user == Fit.No) continue;

            var address = FitsAddress(rule, login, facts, out var question);
            if (question is not null) return new HbaVerdict(rule, question);
            if (!address) continue;

            if (database == Fit.IfMember)
            {
                if (IsMember(rule, login.Database, facts, out var verdict) is not { } isMember) return verdict;
                if (!isMember) continue;
            }

            if (user == Fit.IfMember)
            {
                var fits = false;
                foreach (var role in rule.Users.Roles)
                {
                    if (IsMember(rule, role, facts, out var verdict) is not { } isMember) return verdict;
                    if (fits = isMember) break;
                }

                if (!fits) continue;
            }

            return new HbaVerdict(rule);
        }

        return default;
    }

    private enum Fit
    {
        No,
        Yes,
        IfMember,
    }

    private static bool FitsConnection(HbaConnectionType type, AuthenticationRequest login) => type switch
    {
        HbaConnectionType.Local => login.IsLocal,
        HbaConnectionType.Host or HbaConnectionType.HostNoGssEnc => login.Address is not null,
        HbaConnectionType.HostSsl => login.Address is not null && login.Tls is not null,
        HbaConnectionType.HostNoSsl => login.Address is not null && login.Tls is null,
        _ => false,
    };

    private static Fit FitsDatabase(HbaNames names, AuthenticationRequest login)
    {
        if (login.Replication == ReplicationMode.Physical) return names.Replication ? Fit.Yes : Fit.No;
        return names.Contains(login.Database, login.UserName) ? Fit.Yes : names.SameRole ? Fit.IfMember : Fit.No;
    }

    private static Fit FitsUser(HbaNames names, AuthenticationRequest login) =>
        names.Contains(login.UserName, login.Database) ? Fit.Yes : names.Roles.Count > 0 ? Fit.IfMember : Fit.No;

    private static bool FitsAddress(HbaRule rule, AuthenticationRequest login, HbaFacts facts, out HbaQuestion? question)
    {
        question = null;
        if (rule.ConnectionType == HbaConnectionType.Local || rule.Address.Kind == HbaAddressKind.All) return true;
        if (login.Address is not { } address) return false;
        switch (rule.Address.Kind)
        {
            case HbaAddressKind.Network:
                return rule.Address.Contains(address);
            case HbaAddressKind.HostName:
                if (facts.TryGetHostName(out var name)) return name is not null && rule.Address.IsNameOf(name);
                question = new HbaQuestion(HbaQuestionKind.HostName);
                return false;
            default:
                if (facts.TryGetInterfaces(out var interfaces))
                    return interfaces.Any(i => (rule.Address.Kind == HbaAddressKind.SameHost ? i.Address : i.Network).Contains(address));
                question = new HbaQuestion(HbaQuestionKind.Interfaces);
                return false;
        }
    }

    private static bool? IsMember(HbaRule rule, string role, HbaFacts facts, out HbaVerdict verdict)
    {
        verdict = default;
        if (!facts.TryGetMembership(role, out var isMember)) verdict = new HbaVerdict(rule, new HbaQuestion(HbaQuestionKind.Membership, role));
        else if (isMember is null) verdict = new HbaVerdict(rule, Unanswered: role);
        return isMember;
    }
}
