using Pooler.Engine.Console;
using Xunit;

namespace Pooler.UnitTests.Console;

/// <summary>SELECT over a small table, without a connection.</summary>
public sealed class SelectTests
{
    private static readonly ShowCatalog Shows = new(
    [
        new ShowTable("things", ConsoleColumn.List("siqN", "name size count share"), static () =>
        [
            ["apple", 3, 30L, 0.5m],
            ["Banana", 5, 10L, 1.25m],
            ["cherry", null, 20L, -2m],
            ["date", 3, 3_000_000_000L, 0m],
            [null, 1, 0L, null],
        ]),
        new ShowTable("empty", ConsoleColumn.List("si", "name size"), static () => []),
    ]);

    [Theory]
    [InlineData("SELECT count(*) FROM SHOW THINGS", "5")]
    [InlineData("select COUNT(*) from show things where SIZE = 3;", "2")]
    [InlineData("SELECT name FROM things WHERE size >= 3 AND count < 100", "apple Banana")]
    [InlineData("SELECT name FROM things WHERE NOT size = 3", "Banana ∅")]
    [InlineData("SELECT name FROM things WHERE size <> 3 OR name = 'cherry'", "Banana cherry ∅")]
    [InlineData("SELECT name FROM things WHERE size != 3 AND name IS NOT NULL", "Banana")]
    [InlineData("SELECT name FROM things WHERE size IS NULL", "cherry")]
    [InlineData("SELECT name FROM things WHERE size IN (1, 5) AND name IS NOT NULL", "Banana")]
    [InlineData("SELECT name FROM things WHERE size NOT IN (1, 5)", "apple date")]
    [InlineData("SELECT count(*) FROM things WHERE size NOT IN (3, NULL)", "0")]
    [InlineData("SELECT name FROM things WHERE name LIKE '%an_na'", "Banana")]
    [InlineData("SELECT name FROM things WHERE name ILIKE 'b%'", "Banana")]
    [InlineData("SELECT name FROM things WHERE name NOT LIKE '%a%'", "cherry")]
    [InlineData("SELECT name FROM things WHERE share BETWEEN -2 AND 0.5", "apple cherry date")]
    [InlineData("SELECT name FROM things WHERE size > '4'", "Banana")]
    [InlineData("SELECT name FROM things t WHERE t.size = 5", "Banana")]
    [InlineData("SELECT things.name FROM things WHERE \"size\" = 5", "Banana")]
    [InlineData("SELECT name FROM things WHERE (size = 3 OR size = 5) AND (size = 5)", "Banana")]
    [InlineData("SELECT name FROM things ORDER BY name", "Banana apple cherry date ∅")]
    [InlineData("SELECT name FROM things ORDER BY size DESC, name", "cherry Banana apple date ∅")]
    [InlineData("SELECT name FROM things ORDER BY size DESC NULLS LAST, 1 DESC LIMIT 2", "Banana date")]
    [InlineData("SELECT name AS n FROM things ORDER BY n NULLS FIRST LIMIT 2", "∅ Banana")]
    [InlineData("SELECT name FROM things ORDER BY count LIMIT 1 OFFSET 1", "Banana")]
    [InlineData("SELECT name FROM things ORDER BY size + count LIMIT 2", "∅ Banana")]
    [InlineData("SELECT sum(size), min(size), max(size), count(size), count(DISTINCT size) FROM things", "12|1|5|4|3")]
    [InlineData("SELECT avg(size), sum(share), max(name) FROM things", "3|-0.25|date")]
    [InlineData("SELECT sum(count) FROM things", "3000000060")]
    [InlineData("SELECT count(*), sum(size), max(name) FROM empty", "0|∅|∅")]
    [InlineData("SELECT size, count(*) FROM things GROUP BY size ORDER BY 2 DESC, 1", "3|2 1|1 5|1 ∅|1")]
    [InlineData("SELECT size FROM empty GROUP BY size", "")]
    [InlineData("SELECT max(size) + 1 FROM things", "6")]
    [InlineData("SELECT 1", "1")]
    [InlineData("SELECT 7 / 2, -7 / 2, 7 % 4, 7 / 2.0, 2 + 3 * 4, (2 + 3) * 4, - -1", "3|-3|3|3.5|14|20|1")]
    [InlineData("SELECT 'it''s' || ' ' || 5, NULL IS NULL, true AND NULL, false OR true", "it's 5|t|∅|t")]
    [InlineData("SELECT '12'::int + 1, 3::text", "13|3")]
    [InlineData("SELECT 1 -- a comment\n + /* and /* nested */ */ 1", "2")]
    [InlineData("SELECT current_database(), pg_catalog.pg_is_in_recovery()", "pgbouncer|f")]
    public async Task A_query_gives_its_rows(string sql, string expected) => Assert.Equal(expected, await AnswerAsync(sql));

    [Theory]
    [InlineData("SELECT * FROM SHOW THINGS", "name:Text size:Int4 count:Int8 share:Numeric")]
    [InlineData("SELECT t.*, 1 FROM things t", "name:Text size:Int4 count:Int8 share:Numeric ?column?:Int4")]
    [InlineData("SELECT count(*), sum(size), sum(count), avg(size), max(name) AS \"Last\" FROM things", "count:Int8 sum:Int8 sum:Numeric avg:Numeric Last:Text")]
    [InlineData("SELECT size total, size = 3 FROM things", "total:Int4 ?column?:Bool")]
    public void The_columns_are_known_before_it_runs(string sql, string expected)
    {
        var statement = Assert.Single(Parse(sql));
        Assert.Equal(expected, string.Join(' ', statement.Columns!.Select(c => $"{c.Name}:{c.Type}")));
    }

    [Theory]
    [InlineData("SELECT foo FROM SHOW THINGS", "42703", 8)]
    [InlineData("SELECT name FROM SHOW NOTHING", "42P01", 23)]
    [InlineData("SELECT name FROM SHOW THINGS WHERE", "42601", 35)]
    [InlineData("SELECT name FROM SHOW THINGS WHERE size", "42804", 36)]
    [InlineData("SELECT name FROM SHOW THINGS WHERE name > 1", "42883", 41)]
    [InlineData("SELECT name,, size FROM SHOW THINGS", "42601", 13)]
    [InlineData("SELECT name FROM SHOW THINGS LIMIT", "42601", 35)]
    [InlineData("SELECT (name FROM SHOW THINGS", "42601", 14)]
    [InlineData("SELECT name, count(*) FROM SHOW THINGS", "42803", 8)]
    [InlineData("SELECT name FROM things WHERE count(*) > 1", "42803", 31)]
    [InlineData("SELECT sum(count(*)) FROM things", "42803", 12)]
    [InlineData("SELECT sum(name) FROM things", "42883", 8)]
    [InlineData("SELECT x.name FROM things t", "42P01", 8)]
    [InlineData("SELECT name FROM things ORDER BY 2", "42P10", 34)]
    [InlineData("SELECT nosuch(1)", "42883", 8)]
    [InlineData("SELECT 'open", "42601", 8)]
    [InlineData("SELECT *", "42601", 8)]
    public void What_is_wrong_is_said_and_where(string sql, string state, int position)
    {
        var error = Assert.Throws<ConsoleException>(() => Parse(sql)).Error;
        Assert.Equal((state, position), (error.SqlState, error.Position));
    }

    [Theory]
    [InlineData("SELECT 1 / 0", "22012")]
    [InlineData("SELECT count(*) FROM things WHERE size = 'many'", "22P02")]
    [InlineData("SELECT 9223372036854775807 + 1", "22003")]
    public async Task What_goes_wrong_while_it_runs_is_an_error(string sql, string state) =>
        Assert.Equal(state, (await Assert.ThrowsAsync<ConsoleException>(() => AnswerAsync(sql))).Error.SqlState);

    [Theory]
    [InlineData("(", ")")]
    [InlineData("NOT ", "")]
    [InlineData("- ", "")]
    [InlineData("1=1 AND ", "")]
    [InlineData("1 + ", "")]
    public void Nothing_is_too_long_for_the_stack(string before, string after)
    {
        var sql = "SELECT " + string.Concat(Enumerable.Repeat(before, 20_000)) + "1=1" + string.Concat(Enumerable.Repeat(after, 20_000));
        try
        {
            foreach (var statement in Parse(sql)) Assert.NotNull(statement.Columns);
        }
        catch (ConsoleException e)
        {
            Assert.Contains(e.Error.SqlState, new[] { "54001", "42883", "42804" });
        }
    }

    [Fact]
    public async Task Parameters_take_the_type_they_are_given_or_meet()
    {
        var untyped = Assert.Single(new ConsoleParser(Shows).Parse("SELECT name FROM things WHERE size = $1 AND name LIKE $2", []));
        Assert.Equal([25, 25], untyped.ParameterTypes);
        Assert.Equal("apple", Text(await untyped.Run(null!, ["3", "a%"])));

        var typed = Assert.Single(new ConsoleParser(Shows).Parse("SELECT name FROM things WHERE count > $1", [20]));
        Assert.Equal([20], typed.ParameterTypes);
        Assert.Equal("date", Text(await typed.Run(null!, [100L])));
        Assert.Equal("", Text(await typed.Run(null!, [null])));
    }

    [Theory]
    [InlineData("", "", true)]
    [InlineData("abc", "%", true)]
    [InlineData("abc", "a%c", true)]
    [InlineData("abc", "a%d", false)]
    [InlineData("abcabd", "%ab_", true)]
    [InlineData("10%", @"10\%", true)]
    [InlineData("100", @"10\%", false)]
    [InlineData("a", "a%%", true)]
    [InlineData("", "_", false)]
    public void Like_matches_as_in_sql(string text, string pattern, bool expected) =>
        Assert.Equal(expected, SqlValue.IsLike(text, pattern, ignoreCase: false));

    [Fact]
    public void Statements_are_separated_by_semicolons_outside_of_quotes()
    {
        Assert.Equal(2, Parse("SELECT ';' AS \";\"; /* ; */ SELECT 2 ; ;").Count);
        Assert.True(Assert.Single(Parse(" ; -- nothing")).IsEmpty);
    }

    private static IReadOnlyList<ConsoleStatement> Parse(string sql) => new ConsoleParser(Shows).Parse(sql, []);

    private static async Task<string> AnswerAsync(string sql) => Text(await Assert.Single(Parse(sql)).Run(null!, []));

    private static string Text(ConsoleAnswer answer) =>
        string.Join(' ', answer.Rows.Select(row => string.Join('|', row.Select(v => WireValue.Text(v) ?? "∅"))));
}
