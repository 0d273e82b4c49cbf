using System.Text.RegularExpressions;

namespace Pooler.IntegrationTests.DropIn;

/// <summary>Where we do not do what PgBouncer 1.18 does, and why.</summary>
internal static partial class Differences
{
    /// <summary>Rules that turn what PgBouncer says into what we say.</summary>
    private static readonly (Regex Theirs, string Ours)[] Rules =
    [
        // PostgreSQL's SQLSTATEs where it has one. The name is that of the user who is refused, as with PostgreSQL.
        (Authentication(), "FATAL 28P01 $1 authentication failed for user \"USER\""),
        (AuthenticationByPsql(), "$0 for user \"USER\""),
        (Refusals(), "FATAL 28000 $1"),
        (Disabled(), "FATAL 57P03 $1"),
        (Missing(), "FATAL 3D000 $1"),
        // Not told by .NET.
        (Curve(), ""),
    ];

    private static readonly Dictionary<string, string> Meant = new()
    {
        // HBA rules are looked at before users are looked up: nobody makes us run auth_query whom no line lets in.
        ["login: unknown user"] = "FATAL 28000 no authentication method is found",
        // Another text since 1.21.
        ["login: no line"] = "FATAL 28000 no authentication method is found",
        ["login: no line for this database"] = "FATAL 28000 no authentication method is found",
        ["login: cert without TLS"] = "FATAL 28000 no authentication method is found",
        // 1.18 refuses it after the login, later ones before.
        ["pgbouncer over the Unix socket as another user of the machine"] =
            "2 psql: error: connection to server on socket \"DIRECTORY/.s.PGSQL.POOLER\" failed: FATAL:  bouncer config error",
        // "fast" has come to mean OpenSSL's default in later versions, and so has ours.
        ["CONFIG server_tls_ciphers, value"] = "default",
        ["console: SET listen_port = 1"] =
            "NOTICE 00000 listen_port cannot be changed while running: change the configuration and restart C(SET listen_port=1) Z(I)",
        // The protocol's answer to an empty query, which drivers use as a sign of life.
        ["console: "] = "I Z(I)",
        ["console: ;"] = "I Z(I)",
        // Drivers begin transactions before they ask.
        ["console: BEGIN"] = "C(BEGIN) Z(T)",
        // Freed objects are the garbage collector's.
        ["LISTS free_clients"] = "list=free_clients items=0",
        ["LISTS free_servers"] = "list=free_servers items=0",
        // As from 1.23 on, where TERM waits for clients.
        ["TERM"] = "exit code 0",
    };

    private static readonly HashSet<string> Gone =
    [
        // reserve_pool_size in later versions.
        "SHOW DATABASES, reserve_pool",
        // Of logins that were refused: 1.18 makes their pools first.
        "POOLS app/drop_banned", "POOLS app/drop_owner", "POOLS dashed-name.2/drop_scram", "LISTS pools",
        // From 1.21 on those are counted whom auth_query found.
        "LISTS users",
    ];

    /// <summary>What differs without a reason.</summary>
    public static List<string> Between(IReadOnlyList<(string What, string Seen)> theirs, IReadOnlyList<(string What, string Seen)> ours)
    {
        var differences = new List<string>();
        var order = new Dictionary<string, int>();
        foreach (var (what, seen) in theirs)
        {
            if (Gone.Contains(what) || Gone.Any(g => what.StartsWith($"metric {g.Replace(" ", "/", StringComparison.Ordinal)}/", StringComparison.Ordinal)) || what.EndsWith("/reserve_pool", StringComparison.Ordinal)) continue;
            var expected = Meant.TryGetValue(what, out var meant) ? meant : Rules.Aggregate(seen, (text, rule) => rule.Theirs.Replace(text, rule.Ours));
            // Some things are done more than once.
            var times = order[what] = order.GetValueOrDefault(what) + 1;
            var actual = Users().Replace(ours.Where(o => o.What == what).Skip(times - 1).FirstOrDefault(("", "nothing")).Item2, "for user \"USER\"");
            if (actual != expected) differences.Add($"{what}:\n  PgBouncer  {seen}\n  expected   {expected}\n  the pooler {actual}");
        }
        return differences;
    }

    /// <summary>Columns and rows of PgBouncer's console must come in its order here, whatever comes between them.</summary>
    public static List<string> OutOfOrder(IReadOnlyList<(string What, string Seen)> theirs, IReadOnlyList<(string What, string Seen)> ours)
    {
        var positions = ours.Select((o, i) => (o.What, i)).DistinctBy(o => o.What).ToDictionary(o => o.What, o => o.i);
        var shared = theirs.Select(t => t.What).Where(w => w.StartsWith("SHOW ", StringComparison.Ordinal) && positions.ContainsKey(w)).Distinct().ToList();
        return [.. shared.Zip(shared.Skip(1)).Where(p => positions[p.First] > positions[p.Second]).Select(p => $"{p.First} comes after {p.Second}")];
    }

    [GeneratedRegex("FATAL 08P01 (SASL|password) authentication failed$")]
    private static partial Regex Authentication();

    [GeneratedRegex("FATAL:  password authentication failed$")]
    private static partial Regex AuthenticationByPsql();

    [GeneratedRegex("FATAL 08P01 (login rejected|not allowed|certificate authentication failed)$")]
    private static partial Regex Refusals();

    [GeneratedRegex("FATAL 08P01 (database \".*\" is disabled)$")]
    private static partial Regex Disabled();

    [GeneratedRegex("FATAL 08P01 (database \".*\" does not exist)$")]
    private static partial Regex Missing();

    [GeneratedRegex("(?<=TLS.*)/ECDH=\\w+$")]
    private static partial Regex Curve();

    [GeneratedRegex("for user \"[a-z0-9_]+\"$")]
    private static partial Regex Users();
}
