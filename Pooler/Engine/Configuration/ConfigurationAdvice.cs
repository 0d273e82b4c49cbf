using System.Net;

namespace Pooler.Engine.Configuration;

/// <summary>
/// Warns of settings that are allowed and will nevertheless bring trouble. What cannot be right at all is found when the
/// configuration is read.
/// </summary>
public static class ConfigurationAdvice
{
    /// <summary>Beyond this part of max_connections, others (migrations, backups, administrators) are locked out.</summary>
    public const double MostOfServer = 0.7;

    /// <summary>A pool serves best with two to four connections per core of the server; this far from it it is worth a word.</summary>
    internal const int MostPerCore = 8;

    /// <summary>How many connections an HTTP port takes at a time; those beyond are closed.</summary>
    public const int MostWebConnections = 256;

    private static readonly TimeSpan ShortLifetime = TimeSpan.FromSeconds(60);

    /// <summary>What the configuration itself shows.</summary>
    /// <param name="read">As it was read, without errors.</param>
    /// <param name="cores">Cores of this machine.</param>
    /// <param name="descriptors">How many files and sockets this process may have open; null: unknown or without limit.</param>
    public static IEnumerable<ConfigurationIssue> OnSettings(ConfigurationResult read, int cores, long? descriptors)
    {
        var configuration = read.Configuration ?? throw new ArgumentException("has errors", nameof(read));
        return OnConfiguration(configuration, cores, descriptors)
            .Select(advice => new ConfigurationIssue(read.Origins.GetValueOrDefault(advice.Setting), $"{advice.Setting}: {advice.Text}"));
    }

    /// <summary>The same, by setting; entries are named as <c>database shop</c>.</summary>
    /// <param name="configuration">The configuration.</param>
    /// <param name="cores">Cores of this machine; null to say nothing of pool sizes and cores.</param>
    /// <param name="descriptors">As for <see cref="OnSettings"/>.</param>
    internal static IEnumerable<(string Setting, string Text)> OnConfiguration(PoolerConfiguration configuration, int? cores, long? descriptors) =>
        OnLimits(configuration, descriptors).Concat(OnWaiting(configuration.Settings)).Concat(OnServers(configuration.Settings))
            .Concat(OnAccess(configuration.Settings)).Concat(OnAsking(configuration)).Concat(OnPoolSizes(configuration, cores));

    /// <summary>What a look at the server shows; null when the demand fits.</summary>
    /// <param name="demand">What the pools may ask of the server.</param>
    /// <param name="maxConnections">The server's max_connections.</param>
    public static ConfigurationIssue? OnServer(ConnectionDemand demand, int maxConnections)
    {
        if (demand.Connections is { } connections && connections <= maxConnections * MostOfServer) return null;
        var sum = demand.Connections is { } number ? $"{(demand.IsAtLeast ? "at least " : "up to ")}{number} server connections" : "any number of server connections";
        return new ConfigurationIssue(null,
            $"the pools may open {sum} on {demand.Server}, more than {MostOfServer:P0} of its max_connections = {maxConnections}: "
            + "lower default_pool_size, set max_db_connections, or raise max_connections");
    }

    private static IEnumerable<(string Setting, string Text)> OnLimits(PoolerConfiguration configuration, long? descriptors)
    {
        var settings = configuration.Settings;
        var servers = ConnectionDemand.Of(configuration).Sum(d => (long)(d.Connections ?? 0));
        var web = ((settings.HttpPort != 0 ? 1 : 0) + (settings.HttpAdminPort != 0 ? 1 : 0)) * MostWebConnections;
        if (descriptors is { } limit && settings.MaxClientConn + servers + DescriptorsOfProcess + web > limit)
        {
            yield return ("max_client_conn",
                $"{settings.MaxClientConn} clients and {servers} server connections need more than the {limit} file descriptors that this process may have: raise its limit (ulimit -n, LimitNOFILE=) or lower max_client_conn");
        }
        if (settings.DefaultPoolSize == 0)
            yield return ("default_pool_size", "0 leaves pools without a limit: a burst of clients takes all connections of the server");
        if (settings.MaxDbConnections > 0 && settings.DefaultPoolSize > settings.MaxDbConnections)
            yield return ("default_pool_size", $"{settings.DefaultPoolSize} is never reached: max_db_connections is {settings.MaxDbConnections}");
        if (settings.MaxPreparedStatements == 0 && settings.PoolMode != PoolMode.Session)
            yield return ("max_prepared_statements", $"0 makes prepared statements of drivers fail with pool_mode = {settings.PoolMode.ToString().ToLowerInvariant()}");
    }

    // Listening sockets, log, event loops, runtime.
    private const int DescriptorsOfProcess = 100;

    private static IEnumerable<(string Setting, string Text)> OnWaiting(PoolerSettings settings)
    {
        if (settings.QueryWaitTimeout == TimeSpan.Zero)
            yield return ("query_wait_timeout", "0 lets clients wait for a server connection without end: a server that is down looks like an application that hangs");
        if (settings.ReservePoolSize > 0 && settings.ReservePoolTimeout == TimeSpan.Zero)
            yield return ("reserve_pool_timeout", "0 switches the reserve off: reserve_pool_size has no effect");
        if (settings.ReservePoolSize > 0 && settings.QueryWaitTimeout > TimeSpan.Zero && settings.ReservePoolTimeout >= settings.QueryWaitTimeout)
            yield return ("reserve_pool_timeout", "not below query_wait_timeout: clients are turned away before the reserve is used");
    }

    private static IEnumerable<(string Setting, string Text)> OnServers(PoolerSettings settings)
    {
        if (settings.ServerLifetime == TimeSpan.Zero)
            yield return ("server_lifetime", "0 uses each server connection once: every transaction pays for a login to the server");
        else if (settings.ServerLifetime < ShortLifetime)
            yield return ("server_lifetime", $"server connections are replaced every {settings.ServerLifetime.TotalSeconds:0.###} seconds: logins cost the server more than what they are to prevent");
        if (settings.PoolMode == PoolMode.Session && settings.ServerResetQuery.Length == 0)
            yield return ("server_reset_query", "empty lets a session see the settings, temporary tables and locks of the one before it");
        if (settings.ServerTlsSslMode == SslMode.VerifyCa && settings.ServerTlsCaFile.Length == 0)
            yield return ("server_tls_sslmode", "verify-ca without server_tls_ca_file trusts every authority that this machine does, whatever host the certificate is for: name the authority, or use verify-full");
    }

    private static IEnumerable<(string Setting, string Text)> OnAccess(PoolerSettings settings)
    {
        if (settings.AuthFile is { } file && IsReadableByOthers(file))
            yield return ("auth_file", $"{file} can be read by every user of this machine: chmod 600");
        if (settings.AuthType is AuthType.Any or AuthType.Trust && !IsLocal(settings.ListenAddr))
            yield return ("auth_type", $"{settings.AuthType.ToString().ToLowerInvariant()} asks for no password, and listen_addr lets in other machines");
    }

    private static IEnumerable<(string Setting, string Text)> OnAsking(PoolerConfiguration configuration)
    {
        var databases = configuration.Databases.Values.OrderBy(d => d.Name, StringComparer.Ordinal).ToArray();
        var askers = databases.Select(d => d.AuthUser).Append(configuration.Settings.AuthUser).Where(u => u is { Length: > 0 }).ToHashSet();
        foreach (var database in databases)
        {
            if (askers.Contains(database.User))
                yield return ($"database {database.Name}", $"its forced user {database.User} is also an auth_user: whoever may use the database has the rights to read what others log in with");
        }
    }

    private static IEnumerable<(string Setting, string Text)> OnPoolSizes(PoolerConfiguration configuration, int? cores)
    {
        var settings = configuration.Settings;
        foreach (var database in configuration.Databases.Values.OrderBy(d => d.Name, StringComparer.Ordinal))
        {
            var size = database.PoolSize ?? settings.DefaultPoolSize;
            var least = database.MinPoolSize ?? settings.MinPoolSize;
            if (size > 0 && least > size)
                yield return ($"database {database.Name}", $"min_pool_size {least} is above the pool's size {size}: that many are never opened");
            // Of other machines nobody knows the cores, unless told.
            var isTold = settings.ServerCores > 0;
            var has = isTold ? settings.ServerCores : cores;
            if (cores is not null && (isTold || IsThisMachine(database.Host)) && size > has * MostPerCore)
            {
                yield return ($"database {database.Name}",
                    $"pool_size {size} is far above two to four connections per core (the server{(isTold ? "" : ", this machine,")} has {has}): more of them make each other slower");
            }
        }
    }

    /// <summary>Whether the servers of a database run on this machine, as far as their address tells.</summary>
    internal static bool IsThisMachine(string? host) => host is null || host.StartsWith('/') || host.StartsWith('@') || IsLocal(host);

    private static bool IsReadableByOthers(string file)
    {
        if (OperatingSystem.IsWindows()) return false;
        try
        {
            return (File.GetUnixFileMode(file) & UnixFileMode.OtherRead) != 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    internal static bool IsLocal(string addresses) =>
        addresses.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .All(a => a.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(a, out var ip) && IPAddress.IsLoopback(ip)));
}
