using System.Globalization;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Console;

/// <summary>
/// SELECT over a table of the console:
/// <c>SELECT items [FROM [SHOW] table [alias]] [WHERE …] [GROUP BY columns] [ORDER BY …] [LIMIT n] [OFFSET n]</c>.
/// Recursive descent; SelectParser.Expressions.cs has the expressions.
/// </summary>
internal sealed partial class SelectParser(TokenReader tokens, ShowCatalog shows, int[] parameterTypes)
{
    // A word that begins a clause is no alias.
    private static readonly string[] ClauseWords = ["from", "where", "group", "order", "limit", "offset", "as"];

    private readonly List<int> _parameters = [.. parameterTypes];
    private readonly List<SqlAggregate> _aggregates = [];
    private readonly List<(int Column, int Position)> _bareColumns = [];
    private ShowTable? _source;
    private string? _alias;
    private bool _inAggregate;

    /// <exception cref="ConsoleException">42601, 42703 and others, with the position.</exception>
    public ConsoleStatement Parse()
    {
        tokens.Next();
        if (FindOldForm() is { } show) return show;
        FindSource();
        var items = ParseItems();
        SkipSource();
        // Only expressions outside aggregates are bound to the groups.
        var where = ParseWhere();
        var groupBy = ParseGroupBy();
        var orderBy = ParseOrderBy(items);
        var limit = ParseCount("limit");
        var offset = ParseCount("offset");
        // PostgreSQL takes them in either order.
        limit ??= ParseCount("limit");
        if (!tokens.AtStatementEnd) throw tokens.Unexpected();
        if (groupBy is not null || _aggregates.Count > 0) CheckGroups(groupBy ?? []);
        var query = new SelectQuery
        {
            Source = _source,
            Items = items,
            Where = where,
            GroupBy = groupBy,
            Aggregates = _aggregates,
            OrderBy = orderBy,
            Limit = limit,
            Offset = offset,
        };
        var source = _source;
        return new ConsoleStatement(query.Columns, async (session, parameters) =>
        {
            if (source is { AdminOnly: true } && !session.IsAdmin)
                throw ConsoleException.Command("admin access needed");
            // Off the loop, unless there is next to nothing to do: the "SELECT 1" of health checks.
            var rows = source is null
                ? query.Run([[]], parameters)
                : await Task.Run(() => query.Run(source.Rows(), parameters)).ConfigureAwait(false);
            return new ConsoleAnswer("SELECT") { Rows = rows };
        })
        {
            // What nothing has given a type is text.
            ParameterTypes = [.. _parameters.Select(oid => oid == 0 ? WireValue.Oid(ColumnType.Text) : oid)],
        };
    }

    /// <summary>PgBouncer takes SELECT for SHOW when a table's name follows, and nothing else.</summary>
    private ConsoleStatement? FindOldForm()
    {
        if (tokens.Current.Kind != TokenKind.Word || !shows.TryFind(tokens.Current.Text, out var table)) return null;
        if (tokens.Peek(1) is not ({ Kind: TokenKind.End } or { Kind: TokenKind.Symbol, Text: ";" })) return null;
        tokens.Next();
        return ConsoleCommands.Show(table);
    }

    /// <summary>Looks ahead for FROM: the items can be understood only with its columns.</summary>
    private void FindSource()
    {
        for (var ahead = 0; ; ahead++)
        {
            var token = tokens.Peek(ahead);
            if (token.Kind == TokenKind.End || token is { Kind: TokenKind.Symbol, Text: ";" }) return;
            if (!TokenReader.IsWord(token, "from")) continue;
            var name = tokens.Peek(ahead + 1);
            var next = ahead + 2;
            if (TokenReader.IsWord(name, "show")) name = tokens.Peek(next++);
            if (name.Kind is not (TokenKind.Word or TokenKind.QuotedName)) return;
            if (!shows.TryFind(name.Text, out _source))
            {
                throw new ConsoleException(PgError.Error("42P01", $"relation \"{name.Text}\" does not exist",
                    hint: "SHOW HELP lists the tables: SELECT … FROM SHOW CLIENTS, for example.") with { Position = name.Start + 1 });
            }
            if (TokenReader.IsWord(tokens.Peek(next), "as")) next++;
            var alias = tokens.Peek(next);
            _alias = IsAlias(alias) ? alias.Text : name.Text;
            return;
        }
    }

    /// <summary>Steps over what <see cref="FindSource"/> has read.</summary>
    private void SkipSource()
    {
        if (!tokens.TakeWord("from")) return;
        if (tokens.IsWord("show")) tokens.Next();
        if (tokens.Current.Kind is not (TokenKind.Word or TokenKind.QuotedName)) throw tokens.Unexpected();
        tokens.Next();
        if (tokens.TakeWord("as") && !IsAlias(tokens.Current)) throw tokens.Unexpected();
        if (IsAlias(tokens.Current)) tokens.Next();
    }

    private static bool IsAlias(Token token) => token.Kind == TokenKind.QuotedName
        || (token.Kind == TokenKind.Word && !ClauseWords.Contains(token.Text, StringComparer.OrdinalIgnoreCase));

    private List<SelectItem> ParseItems()
    {
        var items = new List<SelectItem>();
        do
        {
            if (TakeStar())
            {
                if (_source is null) throw ConsoleException.Syntax("SELECT * with no tables specified is not valid", tokens.Current.Start);
                for (var i = 0; i < _source.Columns.Length; i++)
                    items.Add(new SelectItem(_source.Columns[i].Name, Column(i, tokens.Current.Start)));
                continue;
            }
            var expression = ParseExpression();
            var name = expression.Name;
            if (tokens.TakeWord("as"))
            {
                if (tokens.Current.Kind is not (TokenKind.Word or TokenKind.QuotedName)) throw tokens.Unexpected();
                name = Fold(tokens.Next());
            }
            else if (IsAlias(tokens.Current))
            {
                name = Fold(tokens.Next());
            }
            items.Add(new SelectItem(name, expression));
        }
        while (tokens.TakeSymbol(","));
        return items;
    }

    private bool TakeStar()
    {
        if (tokens.TakeSymbol("*")) return true;
        if (tokens.Current.Kind is not (TokenKind.Word or TokenKind.QuotedName) || !IsAliasOfSource(tokens.Current)
            || tokens.Peek(1) is not { Kind: TokenKind.Symbol, Text: "." } || tokens.Peek(2) is not { Kind: TokenKind.Symbol, Text: "*" }) return false;
        for (var i = 0; i < 3; i++) tokens.Next();
        return true;
    }

    private bool IsAliasOfSource(Token token) => token.Text.Equals(_alias, StringComparison.OrdinalIgnoreCase);

    // As PostgreSQL folds names.
    private static string Fold(Token token) => token.Kind == TokenKind.QuotedName ? token.Text : token.Text.ToLowerInvariant();

    private SqlExpression? ParseWhere()
    {
        if (!tokens.TakeWord("where")) return null;
        var (aggregates, columns) = (_aggregates.Count, _bareColumns.Count);
        var position = tokens.Current.Start + 1;
        var where = ParseExpression().AsCondition("WHERE");
        if (_aggregates.Count > aggregates)
            throw new ConsoleException(PgError.Error("42803", "aggregate functions are not allowed in WHERE") with { Position = position });
        // Evaluated before grouping.
        _bareColumns.RemoveRange(columns, _bareColumns.Count - columns);
        return where;
    }

    private List<int>? ParseGroupBy()
    {
        if (!tokens.TakeWord("group")) return null;
        if (!tokens.TakeWord("by")) throw tokens.Unexpected();
        var columns = new List<int>();
        do
        {
            var before = _bareColumns.Count;
            var position = tokens.Current.Start + 1;
            ParsePrimary();
            if (_bareColumns.Count != before + 1)
                throw new ConsoleException(PgError.Error(SqlState.FeatureNotSupported, "GROUP BY takes names of columns only here") with { Position = position });
            columns.Add(_bareColumns[^1].Column);
        }
        while (tokens.TakeSymbol(","));
        return columns;
    }

    private List<SelectOrder> ParseOrderBy(List<SelectItem> items)
    {
        var orders = new List<SelectOrder>();
        if (!tokens.TakeWord("order")) return orders;
        if (!tokens.TakeWord("by")) throw tokens.Unexpected();
        do
        {
            var expression = FindItem(items) ?? ParseExpression();
            var descending = tokens.TakeWord("desc");
            if (!descending) tokens.TakeWord("asc");
            // NULL counts as larger than everything.
            var nullsFirst = descending;
            if (tokens.TakeWord("nulls"))
            {
                nullsFirst = tokens.TakeWord("first");
                if (!nullsFirst && !tokens.TakeWord("last")) throw tokens.Unexpected();
            }
            orders.Add(new SelectOrder(expression, descending, nullsFirst));
        }
        while (tokens.TakeSymbol(","));
        return orders;
    }

    /// <summary>ORDER BY takes the number or the name of a result column.</summary>
    private SqlExpression? FindItem(List<SelectItem> items)
    {
        var next = tokens.Peek(1);
        var alone = next.Kind == TokenKind.End || next is { Kind: TokenKind.Symbol, Text: "," or ";" }
            || (next.Kind == TokenKind.Word && next.Text.ToLowerInvariant() is "asc" or "desc" or "nulls" or "limit" or "offset");
        if (!alone) return null;
        var token = tokens.Current;
        if (token.Kind == TokenKind.Number && int.TryParse(token.Text, CultureInfo.InvariantCulture, out var number))
        {
            if (number < 1 || number > items.Count)
                throw new ConsoleException(PgError.Error("42P10", $"ORDER BY position {number} is not in select list") with { Position = token.Start + 1 });
            tokens.Next();
            return items[number - 1].Expression;
        }
        if (token.Kind is not (TokenKind.Word or TokenKind.QuotedName)) return null;
        var index = items.FindIndex(i => i.Name == Fold(token));
        if (index < 0) return null;
        tokens.Next();
        return items[index].Expression;
    }

    private SqlExpression? ParseCount(string word)
    {
        if (!tokens.TakeWord(word)) return null;
        if (word == "limit" && tokens.TakeWord("all")) return null;
        var token = tokens.Current;
        var columns = _bareColumns.Count;
        var count = ParsePrimary();
        if (_bareColumns.Count > columns)
            throw new ConsoleException(PgError.Error("42P10", $"argument of {word.ToUpperInvariant()} must not contain variables") with { Position = token.Start + 1 });
        return Meet(count, ColumnType.Int8);
    }

    private void CheckGroups(IReadOnlyList<int> groupBy)
    {
        foreach (var (column, position) in _bareColumns)
        {
            if (groupBy.Contains(column)) continue;
            throw new ConsoleException(PgError.Error("42803",
                $"column \"{_alias}.{_source!.Columns[column].Name}\" must appear in the GROUP BY clause or be used in an aggregate function")
                with { Position = position });
        }
    }
}
