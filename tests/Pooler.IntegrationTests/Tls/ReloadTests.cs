using System.Net.Security;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Tls;

/// <summary>New certificates and settings while clients stay.</summary>
public sealed class ReloadTests(TlsPostgres postgres) : TlsTest(postgres), IDisposable
{
    private readonly DirectoryInfo _files = Directory.CreateTempSubdirectory("pooler-tls-reload-");

    [Fact]
    public async Task Reload_presents_a_new_certificate_to_new_clients_and_keeps_the_old_ones()
    {
        var database = await NewDatabaseAsync();
        Copy("pooler");
        await using var pooler = Start(PoolerTest.AnyVariant, UseCopies);
        using var early = await LoginAsync(pooler, database);
        var before = await PresentedAsync(pooler);

        Copy("pooler-ec");
        Assert.Equal(before, await PresentedAsync(pooler));
        pooler.Reload(c => c);

        var after = await PresentedAsync(pooler);
        Assert.NotEqual(before, after);
        Assert.Equal("1", await early.ScalarAsync("SELECT 1"));
        Assert.Equal("1", (await PsqlAsync(pooler, database, $"sslmode=verify-full sslrootcert={Postgres["ca.crt"]}")).Output.Trim());
    }

    [Fact]
    public async Task A_broken_file_makes_reload_fail_and_keeps_what_there_was()
    {
        Copy("pooler");
        await using var pooler = Start(PoolerTest.AnyVariant, UseCopies);
        var before = await PresentedAsync(pooler);

        File.WriteAllText(Path.Combine(_files.FullName, "own.crt"), "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
        Assert.Contains("client_tls_cert_file", Assert.Single(pooler.Engine.Reload().Errors).ToString());
        File.Delete(Path.Combine(_files.FullName, "own.crt"));
        Assert.Matches("TLS setup failed: client_tls_cert_file: .*: No such file or directory", Assert.Single(pooler.Engine.Reload().Errors).ToString());
        Copy("pooler-ec", key: false);
        File.Copy(Postgres["pooler.key"], Path.Combine(_files.FullName, "own.key"), overwrite: true);
        Assert.Contains("client_tls_key_file", Assert.Single(pooler.Engine.Reload().Errors).ToString());

        Assert.Equal(before, await PresentedAsync(pooler));
    }

    [Fact]
    public async Task Set_changes_tls_at_once_and_waits_for_a_matching_key()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ClientTlsSslMode = SslMode.Disable, ClientTlsCertFile = "", ClientTlsKeyFile = "" });
        using var console = await pooler.LoginAsync("pgbouncer");

        Assert.StartsWith("C(SET", await console.Query($"SET client_tls_key_file = '{Postgres["pooler.key"]}'").AskAsync());
        Assert.StartsWith("C(SET", await console.Query($"SET client_tls_cert_file = '{Postgres["pooler.crt"]}'").AskAsync());
        Assert.StartsWith("C(SET", await console.Query("SET client_tls_sslmode = require").AskAsync());
        var before = await PresentedAsync(pooler);
        Assert.Contains("SSL required", (await PsqlAsync(pooler, database, "sslmode=disable")).Error);

        // A key without its certificate cannot be used: the old pair stays.
        await console.Query($"SET client_tls_key_file = '{Postgres["pooler-ec.key"]}'").SendAsync();
        Assert.Equal("TLS settings could not be applied, still using old configuration",
            (await console.ReadToReadyAsync()).Single(m => m.Type == 'N').Field('M'));
        Assert.Equal(before, await PresentedAsync(pooler));
        await console.Query($"SET client_tls_cert_file = '{Postgres["pooler-ec.crt"]}'").SendAsync();
        Assert.DoesNotContain(await console.ReadToReadyAsync(), m => m.Type == 'N');
        Assert.NotEqual(before, await PresentedAsync(pooler));

        await console.Query("SET client_tls_sslmode = disable").AskAsync();
        Assert.Equal("1", (await PsqlAsync(pooler, database, "sslmode=disable")).Output.Trim());
    }

    [Fact]
    public async Task Servers_are_replaced_when_their_tls_changes_and_only_then()
    {
        var database = await NewDatabaseAsync();
        var authority = Path.Combine(_files.FullName, "ca.crt");
        File.Copy(Postgres["ca.crt"], authority);
        using var log = new RecordingLog();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ServerTlsSslMode = SslMode.VerifyFull, ServerTlsCaFile = authority }, "localhost", log);
        using var client = await pooler.LoginAsync(database);
        var backend = await client.ScalarAsync("SELECT pg_backend_pid()");

        pooler.Reload(c => c);
        Assert.Equal(backend, await client.ScalarAsync("SELECT pg_backend_pid()"));
        pooler.Reload(c => c with { Settings = c.Settings with { ClientTlsSslMode = SslMode.Prefer } });
        Assert.Equal(backend, await client.ScalarAsync("SELECT pg_backend_pid()"));
        Assert.DoesNotContain(log.Lines, l => l.Contains("database configuration changed"));

        // The contents count, not only the name.
        File.AppendAllText(authority, new TestCertificates("one more").AuthorityPem);
        pooler.Reload(c => c);
        var second = await client.ScalarAsync("SELECT pg_backend_pid()");
        Assert.NotEqual(backend, second);
        Assert.Contains(log.Lines, l => l.Contains("database configuration changed"));

        pooler.Reload(c => c with { Settings = c.Settings with { ServerTlsSslMode = SslMode.Prefer } });
        Assert.NotEqual(second, await client.ScalarAsync("SELECT pg_backend_pid()"));
    }

    [Fact]
    public async Task A_corrected_setting_is_tried_at_once()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with
        {
            ServerTlsSslMode = SslMode.VerifyCa,
            ServerTlsCaFile = Postgres["other-ca.crt"],
            ServerLoginRetry = TimeSpan.FromHours(1),
        });
        Assert.Contains("certificate verify failed", await pooler.WaitInVainAsync(database, Cancelled));
        using var console = await pooler.LoginAsync("pgbouncer");
        await console.Query($"SET server_tls_ca_file = '{Postgres["ca.crt"]}'").AskAsync();
        using var client = await pooler.LoginAsync(database);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));

        // After RECONNECT the parameters of a login are a new server's.
        await Postgres.Server.ExecuteAsync($"ALTER DATABASE {database} SET datestyle = 'German'", cancellationToken: Cancelled);
        await console.Query("RECONNECT").AskAsync();
        await Eventually.TrueAsync(() => pooler.Pool(database) is { ServersIdle: 0, ServersUsed: 0 }, cancellationToken: Cancelled);
        using var later = await pooler.LoginAsync(database);
        Assert.Equal("German, DMY", later.Parameters["DateStyle"]);
    }

    [Fact]
    public async Task A_server_at_work_is_replaced_when_its_transaction_is_over()
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(PoolerTest.AnyVariant);
        using var client = await pooler.LoginAsync(database);
        await client.Query("BEGIN").AskAsync();
        var backend = await client.ScalarAsync("SELECT pg_backend_pid()");
        using var console = await pooler.LoginAsync("pgbouncer");

        pooler.Reload(c => c with { Settings = c.Settings with { ServerTlsProtocols = "tlsv1.2" } });

        Assert.Equal("1", await console.ScalarAsync($"SELECT close_needed FROM SHOW SERVERS WHERE database = '{database}'"));
        Assert.Equal(backend, await client.ScalarAsync("SELECT pg_backend_pid()"));
        await client.Query("COMMIT").AskAsync();
        Assert.Equal("TLSv1.2", await client.ScalarAsync("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"));
    }

    public void Dispose() => _files.Delete(recursive: true);

    private PoolerSettings UseCopies(PoolerSettings settings) => settings with
    {
        ClientTlsCertFile = Path.Combine(_files.FullName, "own.crt"),
        ClientTlsKeyFile = Path.Combine(_files.FullName, "own.key"),
    };

    private void Copy(string certificate, bool key = true)
    {
        File.Copy(Postgres[$"{certificate}.crt"], Path.Combine(_files.FullName, "own.crt"), overwrite: true);
        if (key) File.Copy(Postgres[$"{certificate}.key"], Path.Combine(_files.FullName, "own.key"), overwrite: true);
    }

    /// <summary>The certificate that a new client gets to see.</summary>
    private static async Task<string> PresentedAsync(RunningPooler pooler)
    {
        var presented = "";
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.SecureAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            RemoteCertificateValidationCallback = (_, certificate, _, _) =>
            {
                presented = certificate!.GetCertHashString();
                return true;
            },
        });
        return presented;
    }
}
