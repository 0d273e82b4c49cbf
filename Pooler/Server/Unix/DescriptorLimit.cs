using System.Globalization;
using System.Runtime.InteropServices;
using Pooler.Engine.Configuration;

namespace Pooler.Server.Unix;

/// <summary>How many files and sockets the process may have open, beside how many it may need.</summary>
internal static class DescriptorLimit
{
    /// <summary>How many it is; null where there is no such limit.</summary>
    public static long? Current => TryRead(out var limit) && limit.Current <= long.MaxValue ? (long)limit.Current : null;

    /// <summary>The line that PgBouncer logs when it starts; null where there is no such limit.</summary>
    public static string? Describe(PoolerConfiguration configuration)
    {
        if (!TryRead(out var limit)) return null;
        var settings = configuration.Settings;

        // As PgBouncer reckons: a pool per database and user, unless the database forces one user, and some to spare.
        // PgBouncer counts its console as a database of two servers and a user.
        const int ConsoleServers = 2, ConsoleUsers = 1;
        long expected = settings.MaxClientConn + 10L + ConsoleServers;
        foreach (var database in configuration.Databases.Values)
            expected += (long)(database.PoolSize ?? settings.DefaultPoolSize) * (database.User is null ? configuration.Users.Count + ConsoleUsers : 1);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"kernel file descriptor limit: {Text(limit.Current)} (hard: {Text(limit.Most)}); max_client_conn: {settings.MaxClientConn}, max expected fd use: {expected}");
    }

    private static bool TryRead(out ResourceLimit limit)
    {
        limit = default;
        return !OperatingSystem.IsWindows() && LibC.GetLimit(OperatingSystem.IsLinux() ? 7 : 8, out limit) == 0; // RLIMIT_NOFILE
    }

    // RLIM_INFINITY is all ones; PgBouncer prints that as -1.
    private static string Text(ulong value) => value > long.MaxValue ? "-1" : value.ToString(CultureInfo.InvariantCulture);

    /// <summary>struct rlimit on 64-bit systems.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct ResourceLimit
    {
        public ulong Current;
        public ulong Most;
    }
}
