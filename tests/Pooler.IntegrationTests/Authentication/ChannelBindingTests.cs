using Npgsql;
using Pooler.Engine.Configuration;
using Pooler.IntegrationTests.Tls;
using Xunit;
using SslMode = Npgsql.SslMode;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>SCRAM-SHA-256-PLUS: logins that hold at one end of a TLS connection only if the other end is the right one.</summary>
public sealed class ChannelBindingTests(TlsPostgres postgres) : TlsTest(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task Clients_may_require_it(Variant variant)
    {
        await using var pooler = Start(variant);

        // libpq and Npgsql refuse a login that is not bound.
        var result = await PsqlAsync(pooler, "postgres", Postgres.Server.User, $"password={Postgres.Server.Password} sslmode=require channel_binding=require", "SELECT 'bound'");
        Assert.Equal("bound", result.AllOutput);
        await using (var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(ConnectionString(pooler, "postgres", ""))
        {
            Username = Postgres.Server.User, Password = Postgres.Server.Password, SslMode = SslMode.Require, ChannelBinding = ChannelBinding.Require,
        }.ConnectionString))
        {
            await connection.OpenAsync(Cancelled);
        }

        var wrong = await PsqlAsync(pooler, "postgres", Postgres.Server.User, "password=wrong sslmode=require channel_binding=require", "SELECT 1");
        Assert.Contains("SASL authentication failed", wrong.AllOutput);
        var unbound = await PsqlAsync(pooler, "postgres", Postgres.Server.User, $"password={Postgres.Server.Password} sslmode=require channel_binding=disable", "SELECT 'not bound'");
        Assert.Equal("not bound", unbound.AllOutput);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task The_pooler_may_require_it_of_servers(Variant variant)
    {
        await using var pooler = Start(variant, s => s with { ServerChannelBinding = ChannelBindingMode.Require });

        // Npgsql asks for nothing: what is bound here is the pooler's own login.
        var result = await PsqlAsync(pooler, "postgres", Postgres.Server.User, $"password={Postgres.Server.Password}", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
        Assert.Equal("t", result.AllOutput);
        // Let in without a password, that is without a binding.
        var unbound = await PsqlAsync(pooler, "postgres", TlsPostgres.Anyone, "password=known", "SELECT 1");
        Assert.Contains("channel binding is required, but the server let us in without it", unbound.AllOutput);
    }

    [Fact]
    public async Task Without_tls_to_the_server_a_required_binding_is_refused_and_a_preferred_one_done_without()
    {
        foreach (var (mode, expected) in new[]
        {
            (ChannelBindingMode.Require, "channel binding is required"), (ChannelBindingMode.Prefer, "let in"), (ChannelBindingMode.Disable, "let in"),
        })
        {
            await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ServerTlsSslMode = Engine.Configuration.SslMode.Disable, ServerChannelBinding = mode });
            var result = await PsqlAsync(pooler, "postgres", Postgres.Server.User, $"password={Postgres.Server.Password}", "SELECT 'let in'");
            Assert.Contains(expected, result.AllOutput);
        }
    }

    [Fact]
    public async Task A_scram_secret_is_passed_through_bound_on_both_sides()
    {
        var secret = (string)(await Postgres.Server.ExecuteAsync(
            $"SELECT rolpassword FROM pg_authid WHERE rolname = '{Postgres.Server.User}'", cancellationToken: Cancelled))!;
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ServerChannelBinding = ChannelBindingMode.Require }, secret);

        var result = await PsqlAsync(pooler, "postgres", Postgres.Server.User, $"password={Postgres.Server.Password} sslmode=require channel_binding=require", "SELECT 'bound'");

        Assert.Equal("bound", result.AllOutput);
    }

    private RunningPooler Start(Variant variant, Func<PoolerSettings, PoolerSettings>? change = null, string? secret = null)
    {
        var settings = new PoolerSettings
        {
            ListenAddr = "127.0.0.1",
            ListenPort = 0,
            UnixSocketDir = "",
            AuthType = AuthType.ScramSha256,
            PoolMode = PoolMode.Transaction,
            IoBackend = variant.Backend,
            EventLoops = variant.Loops,
            TcpDeferAccept = false,
            ClientTlsSslMode = Engine.Configuration.SslMode.Allow,
            ClientTlsCertFile = Postgres["pooler.crt"],
            ClientTlsKeyFile = Postgres["pooler.key"],
            ServerTlsSslMode = Engine.Configuration.SslMode.Require,
        };
        return RunningPooler.Start(new PoolerConfiguration
        {
            Settings = change?.Invoke(settings) ?? settings,
            Databases = new Dictionary<string, DatabaseSettings> { ["*"] = new() { Name = "*", Host = "127.0.0.1", Port = Postgres.Server.Port } },
            Users = new[]
            {
                new UserSettings { Name = Postgres.Server.User, Secret = secret ?? Postgres.Server.Password },
                new UserSettings { Name = TlsPostgres.Anyone, Secret = "known" },
            }.ToDictionary(u => u.Name),
        });
    }
}
