using System.Text;
using Pooler.Engine.Auth;
using Pooler.Engine.Configuration;
using Xunit;

namespace Pooler.UnitTests.Auth;

/// <summary>Both sides of the pooler against each other.</summary>
public class LoginTests
{
    private static readonly string[] Stored = [Known.Password, Known.Md5, Known.Scram];

    public static TheoryData<AuthType, string> GoodCombinations => new()
    {
        { AuthType.Plain, Known.Password },
        { AuthType.Plain, Known.Md5 },
        { AuthType.Plain, Known.Scram },
        { AuthType.Md5, Known.Password },
        { AuthType.Md5, Known.Md5 },
        { AuthType.Md5, Known.Scram },
        { AuthType.ScramSha256, Known.Password },
        { AuthType.ScramSha256, Known.Scram },
    };

    [Theory]
    [MemberData(nameof(GoodCombinations))]
    public async Task The_right_password_is_let_in(AuthType type, string stored)
    {
        var gate = Gate(type, stored);

        Assert.Equal((AuthStep.Succeeded, AuthStep.Succeeded), await new Duel(gate, Guest(Known.Password)).Run());
        Assert.Null(gate.FailureReason);
    }

    [Theory]
    [MemberData(nameof(GoodCombinations))]
    public async Task A_wrong_password_is_turned_away(AuthType type, string stored)
    {
        foreach (var wrong in new[] { "Geheim", "geheim ", "g", Known.Md5[3..], new string('x', 2000) })
        {
            var gate = Gate(type, stored);
            var (step, _) = await new Duel(gate, Guest(wrong)).Run();

            Assert.Equal(AuthStep.Failed, step);
            AssertSaysOnlyWhoFailed(gate);
            Assert.Equal("wrong password", gate.FailureReason);
            Assert.Null(gate.PlainPassword);
            Assert.Null(gate.ScramKeys);
        }
    }

    [Theory]
    [InlineData(AuthType.Plain)]
    [InlineData(AuthType.Md5)]
    [InlineData(AuthType.ScramSha256)]
    public async Task Unknown_users_and_users_without_a_password_fail_like_a_wrong_password(AuthType type)
    {
        var known = Gate(type, Known.Password);
        var duel = new Duel(known, Guest("wrong"));
        await duel.Run();

        foreach (var isKnown in new[] { false, true })
        {
            var mock = ClientAuthentication.Create(type, Known.User, isKnown, null, 100);
            var mockDuel = new Duel(mock, Guest("wrong"));
            var (step, _) = await mockDuel.Run();

            Assert.Equal(AuthStep.Failed, step);
            Assert.Equal(known.Error, mock.Error);
            Assert.Equal(duel.SeenByGuest.Select(m => m.Length), mockDuel.SeenByGuest.Select(m => m.Length));
            Assert.NotEqual(known.FailureReason, mock.FailureReason);
        }
    }

    [Fact]
    public async Task An_unknown_user_has_no_password_that_works()
    {
        foreach (var type in new[] { AuthType.Plain, AuthType.Md5, AuthType.ScramSha256 })
        foreach (var guess in new[] { "x", Known.Password })
        {
            // The secret of a user that the caller calls unknown must not count either.
            var gate = ClientAuthentication.Create(type, Known.User, userIsKnown: false, Secret.Parse(Known.Password), 100);
            Assert.Equal(AuthStep.Failed, (await new Duel(gate, Guest(guess)).Run()).Gate);
        }
    }

    [Fact]
    public async Task An_md5_secret_cannot_serve_for_scram_and_only_the_log_says_so()
    {
        var gate = Gate(AuthType.ScramSha256, Known.Md5);

        Assert.Equal(AuthStep.Failed, (await new Duel(gate, Guest(Known.Password)).Run()).Gate);
        AssertSaysOnlyWhoFailed(gate);
        Assert.Contains("md5", gate.FailureReason);
    }

    [Fact]
    public async Task An_md5_secret_logs_in_to_an_md5_server_without_the_password() =>
        Assert.Equal((AuthStep.Succeeded, AuthStep.Succeeded), await new Duel(Gate(AuthType.Md5, Known.Md5), Guest(Known.Md5)).Run());

    [Fact]
    public async Task A_password_in_clear_text_is_learned()
    {
        foreach (var stored in Stored)
        {
            var gate = Gate(AuthType.Plain, stored);
            await new Duel(gate, Guest(Known.Password)).Run();
            Assert.Equal(Known.Password, gate.PlainPassword);
        }
    }

    [Theory]
    [InlineData(AuthType.ScramSha256)]
    [InlineData(AuthType.Plain)]
    public async Task Keys_learned_from_a_client_open_a_server_with_the_identical_secret(AuthType type)
    {
        var gate = Gate(type, Known.Scram);
        await new Duel(gate, Guest(Known.Password)).Run();
        var credentials = new ServerCredentials(Known.User, Secret.Parse(Known.Scram), gate.ScramKeys);

        var server = Gate(AuthType.ScramSha256, Known.Scram);
        Assert.Equal((AuthStep.Succeeded, AuthStep.Succeeded), await new Duel(server, new ServerAuthentication(credentials)).Run());
    }

    [Fact]
    public async Task Keys_learned_from_a_client_do_not_open_a_server_with_another_salt()
    {
        var gate = Gate(AuthType.ScramSha256, Known.Scram);
        await new Duel(gate, Guest(Known.Password)).Run();

        var guest = new ServerAuthentication(new ServerCredentials(Known.User, Secret.Parse(Known.Scram), gate.ScramKeys));
        var (_, step) = await new Duel(Gate(AuthType.ScramSha256, Known.Password), guest).Run();

        Assert.Equal(AuthStep.Failed, step);
        Assert.Contains("not the one the server stores", guest.Error!.Message);
    }

    [Theory]
    [InlineData(AuthType.Plain, Known.Md5)]
    [InlineData(AuthType.Plain, Known.Scram)]
    [InlineData(AuthType.Plain, null)]
    [InlineData(AuthType.Md5, Known.Scram)]
    [InlineData(AuthType.Md5, null)]
    [InlineData(AuthType.ScramSha256, Known.Md5)]
    [InlineData(AuthType.ScramSha256, Known.Scram)]
    [InlineData(AuthType.ScramSha256, null)]
    public async Task Without_a_suitable_secret_the_pooler_says_whose_is_missing_and_where_to_give_it(AuthType asked, string? atHand)
    {
        var guest = new ServerAuthentication(new ServerCredentials(Known.User, Secret.Parse(atHand)));
        var (_, step) = await new Duel(Gate(asked, Known.Password), guest).Run();

        Assert.Equal(AuthStep.Failed, step);
        Assert.Equal("08004", guest.Error!.SqlState);
        Assert.Contains("\"alice\"", guest.Error.Message);
        Assert.Contains("auth_file", guest.Error.Hint);
    }

    [Theory]
    [InlineData("pässwörd")]
    [InlineData("密码")]
    [InlineData("a\u00A0b\u00ADc")]
    [InlineData("🤦‍♂️")]
    [InlineData("tab\tand\u0007bell")]
    [InlineData("\u00AD")]
    public async Task Passwords_beyond_ascii_work_with_every_method(string password)
    {
        foreach (var type in new[] { AuthType.Plain, AuthType.Md5, AuthType.ScramSha256 })
        {
            var gate = ClientAuthentication.Create(type, "émile", true, Secret.FromPassword(password), 100);
            var guest = new ServerAuthentication(new ServerCredentials("émile", Secret.FromPassword(password)));
            Assert.Equal((AuthStep.Succeeded, AuthStep.Succeeded), await new Duel(gate, guest).Run());
        }
    }

    [Fact]
    public void Trust_lets_known_users_in_and_any_everybody()
    {
        var output = new Pooler.Engine.Protocol.MessageWriter();

        Assert.Equal(AuthStep.Succeeded, ClientAuthentication.Create(AuthType.Trust, "a", true, null, 100).Start(output));
        Assert.Equal(AuthStep.Succeeded, ClientAuthentication.Create(AuthType.Any, "a", false, null, 100).Start(output));
        var stranger = ClientAuthentication.Create(AuthType.Trust, "a", false, null, 100);
        Assert.Equal(AuthStep.Failed, stranger.Start(output));
        Assert.Equal("28000", stranger.Error!.SqlState);
        Assert.Equal(0, output.Length);
    }

    [Fact]
    public void An_authentication_type_nobody_knows_never_lets_in() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => ClientAuthentication.Create((AuthType)99, "a", true, null, 100));

    [Fact]
    public async Task The_salt_of_a_user_stays_the_same_and_differs_from_others()
    {
        var salts = new List<string>();
        foreach (var (name, stored) in new[] { ("a", (string?)"x"), ("a", "x"), ("a", "y"), ("b", "x"), ("c", null), ("c", null), ("d", null) })
        {
            var duel = new Duel(
                ClientAuthentication.Create(AuthType.ScramSha256, name, stored is not null, Secret.Parse(stored), 100),
                Guest("x"));
            await duel.Run();
            salts.Add(Encoding.ASCII.GetString(duel.SeenByGuest[1].AsSpan(4)).Split(",s=")[1]);
        }

        Assert.Equal(salts[0], salts[1]);
        Assert.Equal(salts[4], salts[5]);
        Assert.Equal(5, salts.Distinct().Count());
    }

    [Fact]
    public async Task Many_logins_with_one_password_derive_its_keys_once()
    {
        var cache = new ScramKeyCache(2);
        byte[] salt = [1, 2, 3];
        var tasks = Enumerable.Range(0, 25).Select(_ => cache.Get("x"u8.ToArray(), salt, 1000)).ToList();

        Assert.True(tasks.TrueForAll(t => ReferenceEquals(t, tasks[0])));
        var first = await tasks[0];
        Assert.NotEqual(first.StoredKey, (await cache.Get("y"u8.ToArray(), salt, 1000)).StoredKey);
        Assert.NotEqual(first.StoredKey, (await cache.Get("x"u8.ToArray(), salt, 1001)).StoredKey);

        // Two newer entries have pushed the first one out.
        var again = await cache.Get("x"u8.ToArray(), salt, 1000);
        Assert.NotSame(first, again);
        Assert.Equal(first.StoredKey, again.StoredKey);
    }

    [Fact]
    public void Nothing_prints_a_secret()
    {
        foreach (var stored in Stored)
        {
            var secret = Secret.Parse(stored)!;
            var credentials = new ServerCredentials(Known.User, secret);
            Assert.DoesNotContain(stored, $"{secret} {credentials} {Gate(AuthType.Plain, stored)} {new ServerAuthentication(credentials)}");
        }
    }

    private static ClientAuthentication Gate(AuthType type, string stored) =>
        ClientAuthentication.Create(type, Known.User, userIsKnown: true, Secret.Parse(stored), scramIterations: 100);

    private static ServerAuthentication Guest(string secret) =>
        new(new ServerCredentials(Known.User, Secret.Parse(secret)));

    private static void AssertSaysOnlyWhoFailed(ClientAuthentication gate)
    {
        var method = gate is ScramExchange ? "SASL" : "password";
        Assert.Equal(("FATAL", "28P01", $"{method} authentication failed for user \"alice\""), (gate.Error!.Severity, gate.Error.SqlState, gate.Error.Message));
        Assert.Null(gate.Error.Detail ?? gate.Error.Hint);
    }
}
