using Xunit;

namespace Pooler.UnitTests.Configuration;

/// <summary>Whom the configuration makes a user who may log in.</summary>
public sealed class KnownUserTests
{
    [Theory]
    [InlineData("listed", true)]
    [InlineData("bare", true)]
    [InlineData("own", true)]
    [InlineData("limited", false)]
    public void Users_are_known_by_auth_file_or_by_a_password_and_not_by_their_limits(string name, bool isKnown)
    {
        using var files = new ThrowawayFiles();
        var list = files.Write("userlist.txt", "\"listed\" \"secret\"\n\"bare\" \"\"\n");

        var result = files.Load($"[pgbouncer]\nauth_file = {list}\n[databases]\n* = host=h\n[users]\nlisted = pool_size=3\nown = password=p\nlimited = pool_size=3\n");

        Assert.Empty(result.Errors);
        Assert.Equal(isKnown, result.Configuration!.Users[name].IsKnown);
    }

    [Fact]
    public void The_targets_user_is_known_with_and_without_a_password()
    {
        var result = ThrowawayFiles.LoadEnvironment(("DATABASES_HOST", "h"), ("DATABASES_USER", "app"));

        Assert.True(result.Configuration!.Users["app"].IsKnown);
    }
}
