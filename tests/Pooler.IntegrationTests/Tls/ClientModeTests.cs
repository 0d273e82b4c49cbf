using System.Net.Security;
using System.Security.Authentication;
using Npgsql;
using Testing;
using Xunit;
using SslMode = Pooler.Engine.Configuration.SslMode;

namespace Pooler.IntegrationTests.Tls;

/// <summary>TLS with clients: who may, who must, whose certificate is asked for.</summary>
public sealed class ClientModeTests(TlsPostgres postgres) : TlsTest(postgres)
{
    private const string SslRequired = "SSL required";
    private const string NoSupport = "server does not support SSL, but SSL was required";

    [Theory]
    [InlineData(SslMode.Disable, "disable", null)]
    [InlineData(SslMode.Disable, "prefer", null)]
    [InlineData(SslMode.Disable, "require", NoSupport)]
    [InlineData(SslMode.Allow, "disable", null)]
    [InlineData(SslMode.Allow, "require", null)]
    [InlineData(SslMode.Prefer, "prefer", null)]
    [InlineData(SslMode.Prefer, "verify-full", null)]
    [InlineData(SslMode.Require, "disable", SslRequired)]
    [InlineData(SslMode.Require, "allow", null)]
    [InlineData(SslMode.Require, "prefer", null)]
    [InlineData(SslMode.Require, "verify-ca", null)]
    [InlineData(SslMode.Require, "verify-full", null)]
    [InlineData(SslMode.VerifyCa, "disable", SslRequired)]
    [InlineData(SslMode.VerifyFull, "disable", SslRequired)]
    public async Task Psql_with_every_sslmode_is_let_in_or_told_why_not(SslMode mode, string sslmode, string? refusal)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ClientTlsSslMode = mode, ClientTlsCaFile = mode >= SslMode.VerifyCa ? Postgres["ca.crt"] : "" });

        var verifies = sslmode.StartsWith("verify", StringComparison.Ordinal);
        var result = await PsqlAsync(pooler, database, $"sslmode={sslmode}" + (verifies ? $" sslrootcert={Postgres["ca.crt"]}" : ""));

        if (refusal is null) Assert.Equal(("1", ""), (result.Output.Trim(), result.Error));
        else Assert.Contains(refusal, result.Error);
    }

    [Theory]
    [InlineData("pooler-ec")]
    [InlineData("pooler-chain")]
    public async Task Elliptic_keys_and_chains_are_presented(string certificate)
    {
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with
        {
            ClientTlsCertFile = Postgres[$"{certificate}.crt"],
            ClientTlsKeyFile = Postgres[$"{certificate}.key"],
        });

        // Only the root is known to the client.
        var result = await PsqlAsync(pooler, await NewDatabaseAsync(), $"sslmode=verify-full sslrootcert={Postgres["ca.crt"]}");

        Assert.Equal(("1", ""), (result.Output.Trim(), result.Error));
    }

    [Theory]
    [InlineData(SslMode.VerifyCa, "alice", true)]
    [InlineData(SslMode.VerifyFull, "alice", true)]
    [InlineData(SslMode.VerifyFull, "expired", false)]
    [InlineData(SslMode.VerifyCa, "stranger", false)]
    [InlineData(SslMode.VerifyCa, null, false)]
    [InlineData(SslMode.Require, "alice", true)]
    [InlineData(SslMode.Require, "stranger", false)]
    [InlineData(SslMode.Require, null, true)]
    public async Task Client_certificates_are_checked_against_the_authority(SslMode mode, string? certificate, bool accepted)
    {
        using var log = new RecordingLog();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ClientTlsSslMode = mode, ClientTlsCaFile = Postgres["ca.crt"] }, log: log);
        // Without one psql must not find one by itself.
        var presented = certificate is null ? "sslcert=/nowhere" : $"sslcert={Postgres[$"{certificate}.crt"]} sslkey={Postgres[$"{certificate}.key"]}";

        var result = await PsqlAsync(pooler, await NewDatabaseAsync(), "alice", $"sslmode=require {presented}", "SELECT 1");

        if (accepted)
        {
            // The server knows no alice: her certificate has let her pass, and that is all it was for.
            Assert.Contains("alice", result.Error);
            Assert.DoesNotContain("certificate", result.Error);
            Assert.Contains(log.Lines, l => l.Contains("login attempt") && l.Contains("tls=TLSv1.3/"));
        }
        else
        {
            Assert.False(result.Succeeded);
            Assert.Contains(log.Lines, l => l.Contains("TLS handshake error: certificate verify failed"));
            Assert.DoesNotContain(log.Lines, l => l.Contains("login attempt"));
        }
    }

    [Theory]
    [InlineData("tlsv1.2", "default", null, "TLSv1.2/ECDHE-RSA-AES256-GCM-SHA384")]
    [InlineData("tlsv1.2", "ECDHE-RSA-AES128-GCM-SHA256", null, "TLSv1.2/ECDHE-RSA-AES128-GCM-SHA256")]
    [InlineData("tlsv1.2", "HIGH:!aNULL:!AESGCM:@STRENGTH", null, "TLSv1.2/ECDHE-RSA-CHACHA20-POLY1305")]
    [InlineData("secure", "default", null, "TLSv1.3/TLS_AES_256_GCM_SHA384")]
    [InlineData("tlsv1.3", "default", "TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3/TLS_CHACHA20_POLY1305_SHA256")]
    [InlineData("tlsv1.2,tlsv1.3", "AES128", "TLS_AES_128_GCM_SHA256", "TLSv1.3/TLS_AES_128_GCM_SHA256")]
    public async Task Protocols_and_ciphers_are_those_of_the_settings_and_are_shown(string protocols, string ciphers, string? ciphers13, string expected)
    {
        using var log = new RecordingLog();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with
        {
            ClientTlsProtocols = protocols,
            ClientTlsCiphers = ciphers,
            ClientTls13Ciphers = ciphers13,
        }, log: log);

        var result = await PsqlAsync(pooler, "pgbouncer", "sslmode=require", "SELECT tls FROM SHOW CLIENTS");

        Assert.Equal((expected, ""), (result.Output.Trim(), result.Error));
        Assert.Contains(log.Lines, l => l.Contains($"tls={expected}"));
    }

    [Theory]
    [InlineData("SSL Mode=Require;Trust Server Certificate=true")]
    [InlineData("SSL Mode=Require;Trust Server Certificate=true;SSL Negotiation=Direct")]
    [InlineData("SSL Mode=VerifyFull;Root Certificate=ca")]
    [InlineData("SSL Mode=VerifyFull;Root Certificate=ca;SSL Negotiation=Direct")]
    public async Task Npgsql_asks_first_or_begins_directly(string parameters)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ClientTlsSslMode = SslMode.Require });
        await using var connection = new NpgsqlConnection(ConnectionString(pooler, database, parameters.Replace("=ca", $"={Postgres["ca.crt"]}")));
        await connection.OpenAsync(Cancelled);
        await using var command = new NpgsqlCommand("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", connection);
        Assert.Equal(true, await command.ExecuteScalarAsync(Cancelled));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Direct_tls_without_the_protocols_name_is_refused(Variant variant)
    {
        using var log = new RecordingLog();
        await using var pooler = Start(variant, log: log);
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.HandshakeAsync();
        Assert.Empty(await client.ReadToEndAsync());
        await Eventually.TrueAsync(() => log.Lines.Any(l => l.Contains("without ALPN protocol negotiation extension")), cancellationToken: Cancelled);

        using var other = await RawClient.ConnectAsync(pooler.EndPoint);
        var wrong = new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            ApplicationProtocols = [SslApplicationProtocol.Http2],
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        };
        await Assert.ThrowsAnyAsync<Exception>(() => other.HandshakeAsync(wrong));
    }

    [Fact]
    public async Task Direct_tls_is_no_way_around_disable()
    {
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ClientTlsSslMode = SslMode.Disable });
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await Assert.ThrowsAnyAsync<Exception>(() => client.HandshakeAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            ApplicationProtocols = [new SslApplicationProtocol("postgresql")],
        }));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Gssapi_encryption_is_refused_before_tls_and_within(bool first)
    {
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ClientTlsSslMode = SslMode.Require });
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        if (first)
        {
            await client.SendAsync(RawClient.GssRequest);
            Assert.Equal('N', (char)await client.ReadByteAsync());
        }
        await client.SecureAsync();
        if (!first)
        {
            await client.SendAsync(RawClient.GssRequest);
            Assert.Equal('N', (char)await client.ReadByteAsync());
        }
        client.Startup(await NewDatabaseAsync(), TlsPostgres.Anyone);
        await client.SendAsync();
        Assert.Equal('Z', (await client.ReadToReadyAsync())[^1].Type);
        Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
    }

    [Fact]
    public async Task Tls_within_tls_is_refused()
    {
        await using var pooler = Start(PoolerTest.AnyVariant);
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await client.SecureAsync();
        await client.SendAsync(RawClient.SslRequest);
        Assert.Equal("SSL req inside SSL", Assert.Single(await client.ReadToEndAsync()).Field('M'));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_handshake_that_never_ends_is_bounded_by_client_login_timeout(Variant variant)
    {
        using var log = new RecordingLog();
        await using var pooler = Start(variant, s => s with { ClientLoginTimeout = TimeSpan.FromSeconds(1) }, log: log);
        using var half = await RawClient.ConnectAsync(pooler.EndPoint);
        await half.SendAsync(RawClient.SslRequest);
        Assert.Equal('S', (char)await half.ReadByteAsync());
        await half.SendAsync([22, 3, 1, 2, 0, 1, 0]);
        using var silent = await RawClient.ConnectAsync(pooler.EndPoint);
        await silent.SendAsync(RawClient.SslRequest);
        Assert.Equal('S', (char)await silent.ReadByteAsync());

        // Nothing in the clear, not even the error.
        Assert.Empty(await half.ReadToEndAsync());
        Assert.Empty(await silent.ReadToEndAsync());
        await Eventually.TrueAsync(() => log.Lines.Count(l => l.Contains("client_login_timeout")) >= 2, cancellationToken: Cancelled);
    }

    [Fact]
    public async Task An_end_without_close_notify_is_a_client_that_left()
    {
        using var log = new RecordingLog();
        await using var pooler = Start(PoolerTest.AnyVariant, log: log);
        using (var client = await RawClient.ConnectAsync(pooler.EndPoint))
            await client.SecureAsync();
        using (var client = await LoginAsync(pooler, await NewDatabaseAsync()))
            Assert.Equal("1", await client.ScalarAsync("SELECT 1"));
        await Eventually.TrueAsync(() => log.Lines.Any(l => l.Contains("client unexpected eof")), cancellationToken: Cancelled);
        Assert.DoesNotContain(log.Lines, l => l.Contains("TLS handshake error"));
    }

    [Fact]
    public async Task Unix_sockets_are_exempt()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "no Unix sockets");
        var directory = Directory.CreateTempSubdirectory("pooler-us-");
        try
        {
            var database = await NewDatabaseAsync();
            await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ClientTlsSslMode = SslMode.Require, UnixSocketDir = directory.FullName });
            using var client = await RawClient.ConnectAsync(pooler.Engine.ListenEndPoints.Single(e => e.AddressFamily == System.Net.Sockets.AddressFamily.Unix));
            await client.SendAsync(RawClient.SslRequest);
            Assert.Equal('N', (char)await client.ReadByteAsync());
            client.Startup(database, TlsPostgres.Anyone);
            await client.SendAsync();
            Assert.Equal('Z', (await client.ReadToReadyAsync())[^1].Type);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Old_protocols_are_refused()
    {
        await using var pooler = Start(PoolerTest.AnyVariant, s => s with { ClientTlsProtocols = "tlsv1.3" });
        using var client = await RawClient.ConnectAsync(pooler.EndPoint);
        await Assert.ThrowsAnyAsync<Exception>(() => client.SecureAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            EnabledSslProtocols = SslProtocols.Tls12,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        }));
    }
}
