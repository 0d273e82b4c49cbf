using Pooler.Engine.Auth;
using Xunit;

namespace Pooler.UnitTests.Auth;

public class SecretTests
{
    [Theory]
    [InlineData(Known.Password, SecretKind.Plain)]
    [InlineData(Known.Md5, SecretKind.Md5)]
    [InlineData(Known.Scram, SecretKind.Scram)]
    [InlineData("md5", SecretKind.Plain)]
    [InlineData("md57e35a1551e6b2d7e24dc4cff2eae3ed", SecretKind.Plain)]
    [InlineData("md57e35a1551e6b2d7e24dc4cff2eae3ed00", SecretKind.Plain)]
    [InlineData("md57E35A1551E6B2D7E24DC4CFF2EAE3ED0", SecretKind.Plain)]
    [InlineData("MD57e35a1551e6b2d7e24dc4cff2eae3ed0", SecretKind.Plain)]
    [InlineData("md57e35a1551e6b2d7e24dc4cff2eae3edg", SecretKind.Plain)]
    [InlineData("SCRAM-SHA-256$", SecretKind.Plain)]
    [InlineData("SCRAM-SHA-256$100", SecretKind.Plain)]
    [InlineData("SCRAM-SHA-256$100:$:", SecretKind.Plain)]
    [InlineData("SCRAM-SHA-256$0:MDEyMzQ1Njc4OWFiY2RlZg==$4tcRmldE6BZmUS9RF4Ip19qMXEFX0FkahCYRvytIRQY=:3tYKfExMWqMOpdIaT27D/UDS1tuV+NXYkg1LpL+ewI0=", SecretKind.Plain)]
    [InlineData("SCRAM-SHA-256$x:MDEyMzQ1Njc4OWFiY2RlZg==$4tcRmldE6BZmUS9RF4Ip19qMXEFX0FkahCYRvytIRQY=:3tYKfExMWqMOpdIaT27D/UDS1tuV+NXYkg1LpL+ewI0=", SecretKind.Plain)]
    [InlineData("SCRAM-SHA-256$100:%%%%$4tcRmldE6BZmUS9RF4Ip19qMXEFX0FkahCYRvytIRQY=:3tYKfExMWqMOpdIaT27D/UDS1tuV+NXYkg1LpL+ewI0=", SecretKind.Plain)]
    [InlineData("SCRAM-SHA-256$100:MDEyMzQ1Njc4OWFiY2RlZg==$4tcR:3tYKfExMWqMOpdIaT27D/UDS1tuV+NXYkg1LpL+ewI0=", SecretKind.Plain)]
    [InlineData("SCRAM-SHA-256$100:MDEyMzQ1Njc4OWFiY2RlZg==$4tcRmldE6BZmUS9RF4Ip19qMXEFX0FkahCYRvytIRQY=:3tYK", SecretKind.Plain)]
    [InlineData("SCRAM-SHA-512$100:MDEyMzQ1Njc4OWFiY2RlZg==$4tcRmldE6BZmUS9RF4Ip19qMXEFX0FkahCYRvytIRQY=:3tYKfExMWqMOpdIaT27D/UDS1tuV+NXYkg1LpL+ewI0=", SecretKind.Plain)]
    public void The_form_of_a_secret_is_recognised_and_what_only_looks_like_one_is_a_password(string text, SecretKind expected)
    {
        var secret = Secret.Parse(text)!;

        Assert.Equal(expected, secret.Kind);
        Assert.Equal(text, secret.Text);
    }

    [Fact]
    public void A_scram_secret_is_taken_apart()
    {
        var secret = Secret.Parse(Known.Scram)!;
        var keys = ScramKeys.Derive("geheim"u8, "0123456789abcdef"u8, 100);

        Assert.Equal(100, secret.Iterations);
        Assert.Equal("0123456789abcdef"u8.ToArray(), secret.Salt);
        Assert.Equal(keys.StoredKey, secret.StoredKey);
        Assert.Equal(keys.ServerKey, secret.ServerKey);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    public void An_empty_password_is_none(string? text)
    {
        Assert.Null(Secret.Parse(text));
        Assert.Null(Secret.FromPassword(text));
    }

    [Fact]
    public void A_password_may_look_like_an_md5_secret() => Assert.Equal(SecretKind.Plain, Secret.FromPassword(Known.Md5)!.Kind);

    [Fact]
    public void Md5_passwords_are_hashed_as_postgresql_does()
    {
        Assert.Equal(Known.Md5, Md5Password.Store("geheim"u8, "alice"));
        Assert.Equal("md5119e408529d31a50fbbb1ca5c28dd628"u8.ToArray(), Md5Password.Answer(Known.Md5, [1, 2, 3, 4]));
    }
}
