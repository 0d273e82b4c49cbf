using System.Text;
using Pooler.Engine.Pools;
using Xunit;

namespace Pooler.UnitTests.Pools;

public sealed class StatementTests
{
    private readonly StatementRegistry _registry = new();

    [Fact]
    public void The_same_definition_is_the_same_statement()
    {
        var first = Acquire("SELECT 1");

        Assert.Same(first, Acquire("SELECT 1"));
        Assert.NotSame(first, Acquire("SELECT 2"));
        Assert.NotEqual(first.ServerName, Acquire("SELECT 2").ServerName);
        Assert.Equal(2, _registry.Count);
    }

    [Fact]
    public void A_statement_that_nobody_has_is_found_again_for_a_while()
    {
        var statement = Acquire("SELECT 1");
        _registry.Release(statement);

        Assert.Same(statement, Acquire("SELECT 1"));

        // In use now, so that it outlives any number of those that are not.
        for (var i = 0; i < 3000; i++) _registry.Release(Acquire($"SELECT {i} AS other"));
        Assert.Same(statement, Acquire("SELECT 1"));
        Assert.InRange(_registry.Count, 2, 1500);
    }

    [Fact]
    public void Unused_statements_do_not_pile_up_by_size_either()
    {
        for (var i = 0; i < 100; i++) _registry.Release(Acquire(new string('x', 1_000_000) + i));

        Assert.InRange(_registry.Count, 1, 20);
    }

    [Fact]
    public void A_server_gives_up_what_it_used_longest_ago()
    {
        var statements = new ServerStatements();
        var (a, b, c) = (Acquire("a"), Acquire("b"), Acquire("c"));
        statements.Add(a);
        statements.Add(b);
        Assert.False(statements.TryEvict(3, out _));
        Assert.True(statements.Use(a));
        Assert.False(statements.Use(c));

        Assert.True(statements.TryEvict(2, out var evicted));
        Assert.Same(b, evicted);
        statements.Add(c);
        statements.Add(c);

        Assert.Equal(2, statements.Count);
        Assert.Same(a, statements.Oldest);
        statements.Clear();
        Assert.False(statements.TryEvict(0, out _));
    }

    private PreparedStatement Acquire(string sql) => _registry.Acquire(Encoding.UTF8.GetBytes(sql + "\0\0\0"));
}
