using System.Globalization;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Console;

/// <summary>
/// What Npgsql asks of pg_type and its relatives when it opens its first connection to a database (unless
/// <c>Server Compatibility Mode=NoTypeLoading</c> is set). The queries are joins over system catalogs, which the console
/// has not; they are recognised by the names in them and answered with the few types that the console's columns have.
/// </summary>
internal static class TypeCatalog
{
    private static readonly ConsoleColumn[] TypeColumns = ConsoleColumn.List("ssssss", "nspname oid typname typtype typnotnull elemtypoid");

    private static readonly object?[][] Types =
    [
        Base(16, "bool"), Base(17, "bytea"), Base(19, "name"), Base(20, "int8"), Base(21, "int2"), Base(23, "int4"),
        Base(25, "text"), Base(26, "oid"), Base(701, "float8"), Base(1043, "varchar"), Base(1700, "numeric"),
    ];

    /// <summary>Takes the statement that begins here, if it is one that looks into the system catalogs.</summary>
    /// <exception cref="ConsoleException">It does, and is none of those that are known.</exception>
    public static ConsoleStatement? Recognize(TokenReader tokens)
    {
        if (!tokens.IsWord("select") && !tokens.IsWord("with")) return null;
        var words = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var token in tokens.Statement)
            if (token.Kind == TokenKind.Word) words.Add(token.Text);
        if (!words.Contains("pg_type") && !words.Contains("pg_class") && !words.Contains("pg_enum") && !words.Contains("pg_attribute"))
            return null;
        var answer = words switch
        {
            _ when words.Contains("elemtypoid") => Answer(TypeColumns, Types),
            _ when words.Contains("pg_enum") => Answer(ConsoleColumn.List("ss", "oid enumlabel"), []),
            _ when words.Contains("pg_attribute") && words.Contains("atttypid") => Answer(ConsoleColumn.List("sss", "oid attname atttypid"), []),
            _ => throw new ConsoleException(PgError.Error("42P01", "the admin console has no system catalogs",
                hint: "Use SHOW HELP for what it has.")),
        };
        tokens.SkipStatement();
        return answer;
    }

    private static ConsoleStatement Answer(ConsoleColumn[] columns, object?[][] rows)
    {
        var answer = Task.FromResult(new ConsoleAnswer("SELECT") { Rows = rows });
        return new ConsoleStatement(columns, (_, _) => answer);
    }

    private static object?[] Base(int oid, string name) =>
        ["pg_catalog", oid.ToString(CultureInfo.InvariantCulture), name, "b", "f", null];
}
