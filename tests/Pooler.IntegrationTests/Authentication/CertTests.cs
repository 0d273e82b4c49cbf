using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Authentication;

/// <summary>Clients whose TLS certificate says who they are.</summary>
public sealed class CertTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    private static readonly TestCertificates Authority = new("users");
    private static readonly TestCertificate Server = Authority.Issue("pooler", ["127.0.0.1"]);
    private static readonly TestCertificate Ann = Authority.Issue("ann");
    private static readonly TestCertificate Host = Authority.Issue("web 1", ["web1.shop.example"]);
    private static readonly TestCertificate Forged = new TestCertificates("users").Issue("ann");

    private const string Full = "auth_type = cert\nclient_tls_sslmode = verify-full";

    [Theory, MemberData(nameof(Backends))]
    public async Task With_cert_the_certificates_name_is_the_users(Variant variant)
    {
        using var files = Files(variant, Full);
        using var log = new RecordingLog();
        await using var pooler = files.Start(log);

        Assert.Equal((true, "postgres"), await AskAsync(files, pooler, "ann", Ann));
        Assert.Equal((true, "postgres"), await AskAsync(files, pooler, "web1.shop.example", Host));
        Assert.Equal((false, "FATAL:  certificate authentication failed"), await AskAsync(files, pooler, "bob", Ann));
        Assert.Contains(log.Lines, l => l.EndsWith("TLS certificate name mismatch", StringComparison.Ordinal));
        Assert.Equal((false, "FATAL:  SSL required"), await AskAsync(files, pooler, "ann", null, "sslmode=disable"));
        Assert.False((await AskAsync(files, pooler, "ann", null)).Succeeded);
        Assert.False((await AskAsync(files, pooler, "ann", Forged)).Succeeded);
        Assert.Equal((false, "FATAL:  unix socket login rejected"), await OverSocketAsync("local all all peer"));

        async Task<(bool, string)> OverSocketAsync(string rules)
        {
            // On a Unix socket there is no TLS: cert lets nobody in, whatever the name.
            var (succeeded, output) = await files.AskOverSocketAsync(pooler, "postgres", "ann");
            Assert.False(succeeded);
            Assert.EndsWith("FATAL:  certificate authentication failed", output, StringComparison.Ordinal);
            files.Write("pg_hba.conf", rules);
            pooler.Reload(_ => files.Read("auth_type = hba"));
            (succeeded, output) = await files.AskOverSocketAsync(pooler, "postgres", "bob");
            return (succeeded, output[output.IndexOf("FATAL", StringComparison.Ordinal)..]);
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Rules_ask_for_certificates_and_maps_translate_their_names(Variant variant)
    {
        using var files = Files(variant, "client_tls_sslmode = allow");
        files.Write("pg_ident.conf", "staff ann bob\nstaff \"/^web ([0-9])$\" shop\\1\nstaff web1.shop.example all\nnames \"CN=web 1\" shop1\n");
        files.Write("pg_hba.conf",
            """
            hostssl  template1  all    all  cert map=staff
            hostssl  all        shop1  all  cert map=names clientname=DN
            host     postgres   ann    all  trust clientcert=verify-full
            host     all        bob    all  scram-sha-256 clientcert=verify-ca
            host     all        all    all  cert
            """);
        await using var pooler = files.Start();
        Assert.Empty(files.Warnings);

        Assert.True((await AskAsync(files, pooler, "bob", Ann, database: "template1")).Succeeded);
        Assert.Equal(CertificateFailed, await AskAsync(files, pooler, "ann", Ann, database: "template1"));
        Assert.True((await AskAsync(files, pooler, "shop1", Host, database: "template1")).Succeeded);
        Assert.True((await AskAsync(files, pooler, "ann", Host, database: "template1")).Succeeded);

        Assert.True((await AskAsync(files, pooler, "shop1", Host)).Succeeded);
        Assert.Equal(CertificateFailed, await AskAsync(files, pooler, "shop1", Ann));

        Assert.True((await AskAsync(files, pooler, "ann", Ann)).Succeeded);
        Assert.Equal(CertificateNeeded, await AskAsync(files, pooler, "ann", Host));
        Assert.Equal(CertificateNeeded, await AskAsync(files, pooler, "ann", null));
        Assert.Equal(CertificateNeeded, await AskAsync(files, pooler, "ann", null, "sslmode=disable"));

        Assert.True((await AskAsync(files, pooler, "bob", Ann, $"password={AccessFiles.Password}")).Succeeded);
        Assert.False((await AskAsync(files, pooler, "bob", Ann, "password=wrong")).Succeeded);
        Assert.Equal(CertificateNeeded, await AskAsync(files, pooler, "bob", null, $"password={AccessFiles.Password}"));

        Assert.True((await AskAsync(files, pooler, "web1.shop.example", Host)).Succeeded);
        Assert.Equal(CertificateFailed, await AskAsync(files, pooler, "web1.shop.example", null, "sslmode=disable"));
    }

    [Fact]
    public void Cert_demands_that_certificates_are_verified()
    {
        using var files = Files(AnyVariant, "");
        files.Read();
        foreach (var mode in new[] { "disable", "allow", "prefer", "require", "verify-ca" })
        {
            var ini = File.ReadAllText(files.PathOf("pooler.ini")) + $"\nauth_type = cert\nclient_tls_sslmode = {mode}";
            var result = ConfigurationLoader.Load(new ConfigurationSources { File = files.Write("weak.ini", ini) });
            Assert.Contains("auth_type=cert requires client_tls_sslmode=verify-full", Assert.Single(result.Errors).ToString());
        }
    }

    private static (bool, string) CertificateFailed => (false, "FATAL:  certificate authentication failed");

    private static (bool, string) CertificateNeeded => (false, "FATAL:  connection requires a valid client certificate");

    private AccessFiles Files(Variant variant, string more)
    {
        var files = new AccessFiles(Postgres, variant, "", "ann", "bob", "shop1", "web1.shop.example");
        files.More =
            $"""
            client_tls_cert_file = {files.Write("server.crt", Server.Pem)}
            client_tls_key_file = {files.Write("server.key", Server.KeyPem)}
            client_tls_ca_file = {files.Write("ca.crt", Authority.AuthorityPem)}
            {more}
            """;
        return files;
    }

    private static async Task<(bool Succeeded, string Output)> AskAsync(
        AccessFiles files, RunningPooler pooler, string user, TestCertificate? certificate, string more = "sslmode=require", string database = "postgres")
    {
        if (!more.Contains("sslmode", StringComparison.Ordinal)) more += " sslmode=require";
        if (certificate is null)
        {
            more += " sslcert=none";
        }
        else
        {
            var (pem, key) = (files.Write("client.crt", certificate.Pem), files.Write("client.key", certificate.KeyPem));
            if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            more += $" sslcert={pem} sslkey={key}";
        }

        var (succeeded, output) = await Psql.AskAsync(pooler, database, user, null, "SELECT current_database()", more);
        return (succeeded, succeeded ? output : output[Math.Max(0, output.IndexOf("FATAL:", StringComparison.Ordinal))..].Split('\n')[0]);
    }
}
