using Pooler.Engine.Console;
using Xunit;

namespace Pooler.UnitTests.Console;

/// <summary>Whatever is typed into the console is answered by rows or by an error of its own.</summary>
public sealed class ConsoleFuzzTests
{
    private static readonly string[] Words =
    [
        "SELECT", "FROM", "SHOW", "things", "WHERE", "ORDER", "BY", "GROUP", "LIMIT", "OFFSET", "AND", "OR", "NOT", "IN", "LIKE", "ILIKE",
        "IS", "NULL", "BETWEEN", "count", "sum", "avg", "min", "max", "DISTINCT", "name", "size", "share", "t", "as", "desc", "nulls", "last",
        "(", ")", ",", "*", "+", "-", "/", "%", "=", "<>", "!=", "<", "<=", ">", ">=", "||", "::", ".", ";", "$1", "$2", "$0", "$99999999999",
        "1", "0", "2.5", "99999999999999999999999999999999999", "'a'", "'%'", "'it''s'", "'", "\"", "\"name\"", "int", "text", "numeric", "bool",
        "true", "--", "/*", "*/", "\n", "SET", "to", "RELOAD", "PAUSE", "KILL_CLIENT", "version", "e1", "\\", "\0", "ü", "DEALLOCATE", "ALL",
    ];

    private static readonly string[] Good =
    [
        "SELECT name, count(*) FROM SHOW THINGS WHERE size > 1 AND name LIKE 'a%' GROUP BY name ORDER BY 2 DESC LIMIT 3 OFFSET 1",
        "SELECT sum(size) / count(*), max(share)::text || 'x' FROM things t WHERE t.size IN (1, 2, 3) OR share BETWEEN -1 AND 1.5",
        "SELECT avg(size) FROM things WHERE NOT (name IS NULL) AND size % 2 = $1",
        "SET default_pool_size = '20'; SHOW THINGS; KILL_CLIENT 5",
    ];

    private static readonly ConsoleParser Parser = new(new ShowCatalog(
    [
        new ShowTable("things", ConsoleColumn.List("siqN", "name size count share"), static () => [["apple", 3, 30L, 0.5m], [null, null, null, null], ["", 0, long.MaxValue, decimal.MaxValue]]),
    ]));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Any_row_of_words_is_understood_or_refused(int seed)
    {
        var random = new Random(seed);
        for (var i = 0; i < 5000; i++)
        {
            var sql = string.Join(random.Next(4) == 0 ? "" : " ", Enumerable.Range(0, random.Next(1, 20)).Select(_ => Words[random.Next(Words.Length)]));
            await RunAsync(random.Next(2) == 0 ? "SELECT " + sql : sql);
        }
    }

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    public async Task Damaged_queries_are_understood_or_refused(int seed)
    {
        var random = new Random(seed);
        for (var i = 0; i < 5000; i++)
        {
            var sql = Good[random.Next(Good.Length)].ToCharArray();
            for (var changes = random.Next(1, 4); changes > 0; changes--) sql[random.Next(sql.Length)] = (char)random.Next(1, 127);
            await RunAsync(new string(sql)[..random.Next(1, sql.Length + 1)]);
        }
    }

    [Theory]
    [InlineData("(")]
    [InlineData("-")]
    [InlineData("NOT ")]
    [InlineData("((1) + ")]
    [InlineData("count(")]
    [InlineData("'a' || ")]
    public async Task However_deep_it_goes_it_ends(string piece) => await RunAsync("SELECT " + string.Concat(Enumerable.Repeat(piece, 5000)) + "1");

    [Fact]
    public async Task A_pattern_with_many_wildcards_takes_no_time()
    {
        var answer = await RunAsync($"SELECT '{new string('a', 200)}' LIKE '{string.Concat(Enumerable.Repeat("%a", 40))}b'");
        Assert.Equal(false, Assert.Single(answer!.Rows)[0]);
    }

    private static async Task<ConsoleAnswer?> RunAsync(string sql)
    {
        try
        {
            var statements = Parser.Parse(sql, []);
            // Others than SELECT without parameters need a session to run in.
            if (statements.Count != 1 || statements[0].Columns is null || statements[0].ParameterTypes.Length > 0 || !sql.StartsWith("SELECT", StringComparison.OrdinalIgnoreCase)) return null;
            return await statements[0].Run(null!, []);
        }
        catch (ConsoleException)
        {
            return null;
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"{e.GetType().Name} for: {sql}", e);
        }
    }
}
