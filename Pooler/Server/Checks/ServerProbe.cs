using Npgsql;
using Pooler.Engine.Configuration;
using NpgsqlSslMode = Npgsql.SslMode;

namespace Pooler.Server.Checks;

/// <summary>Asks a PostgreSQL for what the pools' sizes have to be compared with.</summary>
internal static class ServerProbe
{
    private const int TimeoutSeconds = 5;

    /// <summary>Logs in as somebody whom the configuration sends to this very server, and asks for max_connections.</summary>
    /// <returns>The figure, or why there is none.</returns>
    public static async Task<(int? MaxConnections, string? Problem)> AskAsync(
        PoolerConfiguration configuration, ConnectionDemand demand, CancellationToken cancellationToken)
    {
        if (ConnectionString(configuration, demand) is not { } connectionString)
            return (null, "no user is given for it (user=, auth_user)");
        try
        {
            var source = new NpgsqlDataSourceBuilder(connectionString);
            source.ConfigureTypeLoading(types => types.EnableTypeLoading(false));
            await using var server = source.Build();
            await using var connection = await server.OpenConnectionAsync(cancellationToken);
            await using var command = new NpgsqlCommand("SELECT current_setting('max_connections')::int", connection);
            return ((int)(await command.ExecuteScalarAsync(cancellationToken))!, null);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException or IOException or System.Net.Sockets.SocketException or ArgumentException)
        {
            // The cause says more than "failed to connect"; neither repeats the password.
            return (null, (e.InnerException ?? e).Message);
        }
    }

    private static string? ConnectionString(PoolerConfiguration configuration, ConnectionDemand demand)
    {
        var host = (demand.Host ?? configuration.Settings.UnixSocketDir).Split(',')[0].Trim();
        if (host.Length == 0 || Login(configuration, demand) is not { } login) return null;
        var tls = SettingsTable.Describe(configuration.Settings).ToDictionary(s => s.Key, s => s.Value);
        return new NpgsqlConnectionStringBuilder
        {
            Host = host,
            Port = demand.Port,
            Username = login.User,
            Password = login.Password,
            Database = login.Database,
            ApplicationName = "pooler (checks its configuration)",
            Pooling = false,
            Timeout = TimeoutSeconds,
            CommandTimeout = TimeoutSeconds,
            SslMode = tls["server_tls_sslmode"] switch
            {
                "disable" => NpgsqlSslMode.Disable,
                "allow" => NpgsqlSslMode.Allow,
                "require" => NpgsqlSslMode.Require,
                "verify-ca" => NpgsqlSslMode.VerifyCA,
                "verify-full" => NpgsqlSslMode.VerifyFull,
                _ => NpgsqlSslMode.Prefer,
            },
            RootCertificate = OrNull(tls["server_tls_ca_file"]),
            SslCertificate = OrNull(tls["server_tls_cert_file"]),
            SslKey = OrNull(tls["server_tls_key_file"]),
        }.ConnectionString;
    }

    private static (string User, string? Password, string Database)? Login(PoolerConfiguration configuration, ConnectionDemand demand)
    {
        // Never as just anybody of auth_file: that password may be meant for quite another server.
        var logins = new List<(string User, string? Password, string Database)>();
        foreach (var entry in demand.Databases)
        {
            // The database in which auth_query runs may be one of those that * makes.
            var authDbName = entry.AuthDbName ?? configuration.Settings.AuthDbName;
            var database = entry.Name == "*" && authDbName is not null && !configuration.Databases.ContainsKey(authDbName) ? entry with { Name = authDbName } : entry;
            if (database.ProbeUser(configuration.Settings) is not { } user) continue;
            var password = user == database.User ? database.Password : null;
            logins.Add((user, password ?? Plain(configuration.Users.GetValueOrDefault(user)), NameOf(database)));
        }

        // The server may trust whoever has no password here.
        return logins.Count == 0 ? null : logins.FirstOrDefault(l => l.Password is not null, logins[0]);
    }

    private static string NameOf(DatabaseSettings database) => database.DbName ?? (database.Name == "*" ? "postgres" : database.Name);

    // With a hash nobody can log in but who knows what it was made of.
    private static string? Plain(UserSettings? user) =>
        user?.Secret is { } secret && !secret.StartsWith("SCRAM-SHA-256$", StringComparison.Ordinal) && !(secret.Length == 35 && secret.StartsWith("md5", StringComparison.Ordinal))
            ? secret
            : null;

    private static string? OrNull(string? value) => string.IsNullOrEmpty(value) ? null : value;
}
