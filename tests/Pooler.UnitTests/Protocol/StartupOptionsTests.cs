using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Protocol;

public class StartupOptionsTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("   ", "")]
    [InlineData("-c a=b", "a=b")]
    [InlineData("-ca=b", "a=b")]
    [InlineData("--a=b", "a=b")]
    [InlineData("  -c\t a=b \n --c=d  ", "a=b|c=d")]
    [InlineData("-c a=", "a=")]
    [InlineData("-c a=b=c", "a=b=c")]
    [InlineData(@"-c a=one\ word", "a=one word")]
    [InlineData(@"-c a=back\\slash", @"a=back\slash")]
    [InlineData(@"-c a=b\", "a=b")]
    [InlineData("-c statement-timeout=5s", "statement_timeout=5s")]
    [InlineData("--log-statement=all-of-it", "log_statement=all-of-it")]
    [InlineData("-c a=b -c a=c", "a=b|a=c")]
    [InlineData("-c search_path=\"$user\",public", "search_path=\"$user\",public")]
    public void Settings_are_understood(string options, string expected)
    {
        List<KeyValuePair<string, string>> settings = [];

        Assert.Null(StartupOptions.Parse(options, settings));
        Assert.Equal(expected, string.Join('|', settings.Select(s => $"{s.Key}={s.Value}")));
    }

    [Theory]
    [InlineData("-c")]
    [InlineData("-c ")]
    [InlineData("-c=")]
    [InlineData("-c =")]
    [InlineData("-c=b")]
    [InlineData("-c a")]
    [InlineData("--")]
    [InlineData("--=")]
    [InlineData("--a")]
    [InlineData("-F")]
    [InlineData("a=b")]
    [InlineData("\\")]
    [InlineData("-c a=b -c=")]
    [InlineData("-c a=b garbage")]
    public void Everything_else_is_refused(string options)
    {
        var error = StartupOptions.Parse(options, []);

        Assert.NotNull(error);
        Assert.Equal(("FATAL", "42601"), (error.Severity, error.SqlState));
        Assert.Equal("unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed", error.Message);
        Assert.NotNull(error.Detail);
    }

    [Fact]
    public void Any_short_input_comes_to_an_end()
    {
        const string alphabet = "-c=\\ a";
        for (var length = 0; length <= 6; length++)
        {
            var indexes = new int[length];
            do
            {
                StartupOptions.Parse(string.Concat(indexes.Select(i => alphabet[i])), []);
            }
            while (Next(indexes, alphabet.Length));
        }
    }

    private static bool Next(int[] indexes, int count)
    {
        for (var i = 0; i < indexes.Length; i++)
        {
            if (++indexes[i] < count) return true;
            indexes[i] = 0;
        }

        return false;
    }
}
