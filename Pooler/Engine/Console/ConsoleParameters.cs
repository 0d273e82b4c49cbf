using System.Collections.Frozen;

namespace Pooler.Engine.Console;

/// <summary>PostgreSQL parameters that the console pretends to have, because drivers ask for them.</summary>
internal static class ConsoleParameters
{
    /// <summary>
    /// The PgBouncer release whose console this one offers. Monitoring tools read the number to know which columns to
    /// expect: the columns are those of the development head after 1.25, so the release after it is named.
    /// </summary>
    public const string CompatibleVersion = "1.26.1";

    /// <summary>
    /// What SHOW VERSION says. Exporters and drivers look for "PgBouncer x.y.z" at the start, so a drop-in replacement
    /// has to begin that way; who really answers follows in brackets.
    /// </summary>
    public static readonly string Version =
        $"PgBouncer {CompatibleVersion} (Pooler {typeof(ConsoleParameters).Assembly.GetName().Version?.ToString(3)})";

    /// <summary>Told to each client at login, in PgBouncer's order.</summary>
    public static readonly KeyValuePair<string, string>[] Reported =
    [
        new("server_version", $"{CompatibleVersion}/bouncer"),
        new("client_encoding", "UTF8"),
        new("server_encoding", "UTF8"),
        new("DateStyle", "ISO"),
        new("TimeZone", "GMT"),
        new("standard_conforming_strings", "on"),
        new("is_superuser", "on"),
    ];

    /// <summary>Answered by SHOW with a fixed value; SET of them is ignored with a notice.</summary>
    public static readonly FrozenDictionary<string, string> Fixed = new Dictionary<string, string>
    {
        ["client_encoding"] = "UTF-8",
        ["default_transaction_isolation"] = "read committed",
        ["standard_conforming_strings"] = "on",
        ["datestyle"] = "ISO",
        ["timezone"] = "GMT",
        // Beyond PgBouncer's: libpq asks for it when target_session_attrs is given.
        ["transaction_read_only"] = "off",
    }.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);

    /// <summary>
    /// Session parameters that drivers set without being asked to. They mean nothing here, and refusing them would keep
    /// the drivers out.
    /// </summary>
    public static readonly FrozenSet<string> SetByDrivers = FrozenSet.Create(StringComparer.OrdinalIgnoreCase,
        "extra_float_digits", "search_path", "client_min_messages", "intervalstyle", "lock_timeout", "statement_timeout",
        "idle_in_transaction_session_timeout", "bytea_output");
}
