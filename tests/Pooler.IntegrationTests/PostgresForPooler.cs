using LocalRun.Provisioning;
using Pooler.IntegrationTests;
using Testing;
using Xunit;

[assembly: AssemblyFixture(typeof(PostgresForPooler))]

namespace Pooler.IntegrationTests;

/// <summary>
/// The PostgreSQL of this assembly. Its superuser has a SCRAM secret; further users show the other ways to log in.
/// Tests may look at pg_stat_activity by the database that they made for themselves.
/// </summary>
public sealed class PostgresForPooler : PostgresFixture
{
    /// <summary>A superuser whom PostgreSQL lets in without a password.</summary>
    public const string Trusted = "trusted";

    /// <summary>A superuser with an MD5 secret.</summary>
    public const string Md5User = "md5user";

    /// <summary>A superuser whom PostgreSQL asks for a clear-text password.</summary>
    public const string PlainUser = "plainuser";

    /// <summary>The password of <see cref="Md5User"/> and <see cref="PlainUser"/>.</summary>
    public const string Password = "user's password";

    protected override PostgresServerOptions Options => new()
    {
        HbaRules =
        [
            $"host all {Trusted} 127.0.0.1/32 trust",
            $"host all {Md5User} 127.0.0.1/32 md5",
            $"host all {PlainUser} 127.0.0.1/32 password",
        ],
        Settings = new Dictionary<string, string> { ["max_connections"] = "400", ["shared_buffers"] = "64MB", ["jit"] = "off" },
    };

    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        var literal = Password.Replace("'", "''", StringComparison.Ordinal);
        await Server.ExecuteAsync($"CREATE USER {Trusted} SUPERUSER");
        await Server.ExecuteAsync($"CREATE USER {PlainUser} SUPERUSER PASSWORD '{literal}'");
        // One statement per string: SET must outlive its transaction.
        await Server.ExecuteAsync($"SET password_encryption = 'md5'; CREATE USER {Md5User} SUPERUSER PASSWORD '{literal}'");
    }
}
