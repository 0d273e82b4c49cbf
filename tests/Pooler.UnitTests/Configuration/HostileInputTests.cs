using System.Text;
using Xunit;

namespace Pooler.UnitTests.Configuration;

/// <summary>Whatever a file or variable holds: errors, never an exception, and an outcome that is one or the other.</summary>
public sealed class HostileInputTests : IDisposable
{
    private static readonly string[] Pieces =
    [
        "[pgbouncer]", "[databases]", "[", "]", "=", "==", "'", "''", "\"", "\"\"", "%include", "%", ";", "#", "\n", "\r\n", "\r", " ", "\t", "\0", "\uFEFF",
        "pool_mode", "host", "password", "port", "*", "pgbouncer", "postgres://", "@", ":", "/", "?", "&", "%zz", "%00", "[::1]", ",", "sslmode", "-1", "99999999999999999999", "ü",
    ];

    private readonly ThrowawayFiles _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public void Files_of_any_content_are_read_or_refused()
    {
        var random = new Random(20261122);
        for (var i = 0; i < 2000; i++)
        {
            var result = _files.Load(Jumble(random, 30));
            Assert.Equal(result.Configuration is null, result.Errors.Count > 0);
        }
    }

    [Fact]
    public void Variables_of_any_content_are_read_or_refused()
    {
        var random = new Random(20261123);
        for (var i = 0; i < 2000; i++)
        {
            var result = ThrowawayFiles.LoadEnvironment(
                ("DATABASE_URL", "postgres://" + Jumble(random, 12)), ("Pooler__Databases__" + Jumble(random, 2), Jumble(random, 8)),
                ("POOLER_" + Jumble(random, 2), Jumble(random, 3)), ("DATABASES_" + Jumble(random, 2), Jumble(random, 3)), ("DATABASES_PORT", Jumble(random, 2)));
            Assert.Equal(result.Configuration is null, result.Errors.Count > 0);
        }
    }

    private static string Jumble(Random random, int length)
    {
        var text = new StringBuilder();
        for (var i = random.Next(length + 1); i > 0; i--) text.Append(Pieces[random.Next(Pieces.Length)]);
        return text.ToString();
    }
}
