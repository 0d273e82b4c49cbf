using Pooler.Engine.Auth;
using Xunit;

namespace Pooler.UnitTests.Auth;

public class AuthFileTests
{
    [Theory]
    [InlineData("\"alice\" \"geheim\"", "alice=geheim")]
    [InlineData("  \"alice\"\t\"geheim\" and the rest \"is\" ignored\n", "alice=geheim")]
    [InlineData("\"alice\"\"geheim\"", null)]
    [InlineData("\"a\"\"b\" \"c\"\"\"\"d\"", "a\"b=c\"\"d")]
    [InlineData("; a comment\n  ; \"bob\" \"x\"\n\n\"alice\" \"geheim\"\r\n", "alice=geheim")]
    [InlineData("\uFEFF\"alice\" \"geheim\"", "alice=geheim")]
    [InlineData("\"alice\" \"one\"\n\"alice\" \"two\"", "alice=two")]
    [InlineData("\"émile\" \"pass wörd; \u2028\"", "émile=pass wörd; \u2028")]
    [InlineData("\"alice\" \"\"", "alice=")]
    [InlineData("", "")]
    public void Names_and_secrets_are_read(string text, string? expected)
    {
        var file = AuthFile.Parse(text, "userlist.txt");

        Assert.Equal(expected is null ? 1 : 0, file.Errors.Count);
        Assert.Equal(expected ?? "", string.Join('|', file.Users.Select(u => $"{u.Key}={u.Value?.Text}")));
    }

    [Theory]
    [InlineData("alice geheim")]
    [InlineData("# comment")]
    [InlineData("\"alice")]
    [InlineData("\"alice\"")]
    [InlineData("\"alice\" geheim")]
    [InlineData("\"alice\" \"geheim")]
    [InlineData("\"alice\" \"geheim\"\"")]
    [InlineData("\"alice\" ; \"geheim\"")]
    [InlineData("\"\" \"geheim\"")]
    [InlineData("\"a\0b\" \"geheim\"")]
    public void A_broken_line_is_named_and_costs_no_other_line(string line)
    {
        var file = AuthFile.Parse($"\"first\" \"1\"\n{line}\n\"last\" \"3\"\n", "/etc/userlist.txt");

        Assert.Equal(["first", "last"], file.Users.Keys);
        Assert.StartsWith("/etc/userlist.txt:2: ", Assert.Single(file.Errors));
        Assert.DoesNotContain("geheim", file.Errors[0]);
    }

    [Fact]
    public void Names_may_have_127_bytes_and_secrets_65530()
    {
        var name = string.Concat(Enumerable.Repeat("é", 63)) + "x";
        var secret = new string('s', 65530);

        Assert.Empty(AuthFile.Parse($"\"{name}\" \"{secret}\"", "f").Errors);
        Assert.Single(AuthFile.Parse($"\"{name}y\" \"{secret}\"", "f").Errors);
        Assert.Single(AuthFile.Parse($"\"{name}\" \"{secret}s\"", "f").Errors);
    }

    [Fact]
    public void All_three_forms_of_a_secret_are_recognised()
    {
        var file = AuthFile.Parse($"\"a\" \"{Known.Password}\"\n\"b\" \"{Known.Md5}\"\n\"c\" \"{Known.Scram}\"", "f");

        Assert.Equal([SecretKind.Plain, SecretKind.Md5, SecretKind.Scram], file.Users.Values.Select(s => s!.Kind));
    }

    [Fact]
    public void A_file_is_loaded_and_a_bad_one_is_an_error_with_its_line()
    {
        var directory = Directory.CreateTempSubdirectory("pooler-auth-");
        try
        {
            var path = Path.Combine(directory.FullName, "userlist.txt");
            File.WriteAllText(path, "\"alice\" \"geheim\"\n");
            Assert.Equal("geheim", AuthFile.Load(path).Users["alice"]!.Text);

            File.WriteAllBytes(path, [.. "\"alice\" \"geheim\"\n\"b"u8, 0xE9, .. "b\" \"x\"\n"u8]);
            var broken = AuthFile.Load(path);
            Assert.StartsWith($"{path}:2: ", Assert.Single(broken.Errors));
            Assert.Empty(broken.Users);

            Assert.StartsWith(path + "-missing: ", Assert.Single(AuthFile.Load(path + "-missing").Errors));
            Assert.Single(AuthFile.Load(directory.FullName).Errors);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }
}
