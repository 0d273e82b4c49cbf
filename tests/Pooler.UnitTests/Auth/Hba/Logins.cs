using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Auth;
using Pooler.Engine.Auth.Hba;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;

namespace Pooler.UnitTests.Auth.Hba;

/// <summary>Logins and rules as tests write them.</summary>
internal static class Logins
{
    public static readonly TlsInfo Tls = new("TLSv1.3", "TLS_AES_256_GCM_SHA384", null, default);

    /// <param name="database">What is asked for.</param>
    /// <param name="user">By whom.</param>
    /// <param name="address">From where; null: over a Unix socket.</param>
    public static AuthenticationRequest From(string database, string user, string? address) => new()
    {
        Database = database,
        UserName = user,
        UserIsKnown = true,
        Method = AuthType.Hba,
        RemoteEndPoint = address is null ? new UnixDomainSocketEndPoint("/x") : new IPEndPoint(IPAddress.Parse(address), 40000),
        LocalEndPoint = address is null ? new UnixDomainSocketEndPoint("/x") : new IPEndPoint(IPAddress.Loopback, 6432),
        Settings = new PoolerSettings(),
    };

    /// <summary>Rules without mistakes.</summary>
    public static IReadOnlyList<HbaRule> Rules(string text, IdentMaps? maps = null)
    {
        var issues = new List<ConfigurationIssue>();
        var rules = HbaReader.Parse(text, "pg_hba.conf", maps ?? IdentMaps.None, issues);
        Xunit.Assert.Empty(issues);
        return rules;
    }

    /// <summary>The method that applies to the login, as in the file; null when no line does.</summary>
    public static AuthType? MethodFor(IReadOnlyList<HbaRule> rules, AuthenticationRequest login)
    {
        var verdict = HbaMatcher.Find(rules, login, new HbaFacts());
        Xunit.Assert.Null(verdict.Question);
        return verdict.Rule?.Method;
    }

    /// <summary>Carries a login through to its end; whoever it is must not be asked for anything.</summary>
    public static async Task<ClientAuthentication> EndOfAsync(ClientAuthentication authentication)
    {
        var output = new MessageWriter();
        var step = authentication.Start(output);
        while (step == AuthStep.Working)
        {
            await Task.WhenAny(authentication.Work!);
            step = authentication.Resume(output);
        }
        Xunit.Assert.True(step is AuthStep.Succeeded or AuthStep.Failed, $"{step} is not the end");
        Xunit.Assert.Equal(step == AuthStep.Failed, authentication.Error is not null);
        return authentication;
    }
}
