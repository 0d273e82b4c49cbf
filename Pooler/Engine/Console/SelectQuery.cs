using System.Runtime.InteropServices;

namespace Pooler.Engine.Console;

/// <summary>A column of a SELECT's result.</summary>
internal readonly record struct SelectItem(string Name, SqlExpression Expression);

/// <summary>An entry of ORDER BY.</summary>
internal readonly record struct SelectOrder(SqlExpression Expression, bool Descending, bool NullsFirst);

/// <summary>A SELECT, ready to run.</summary>
internal sealed class SelectQuery
{
    /// <summary>Null without FROM: one row without columns.</summary>
    public ShowTable? Source { get; init; }

    public required IReadOnlyList<SelectItem> Items { get; init; }

    public SqlExpression? Where { get; init; }

    /// <summary>Positions of the columns of GROUP BY; null when rows are not grouped.</summary>
    public IReadOnlyList<int>? GroupBy { get; init; }

    public IReadOnlyList<SqlAggregate> Aggregates { get; init; } = [];

    public IReadOnlyList<SelectOrder> OrderBy { get; init; } = [];

    public SqlExpression? Limit { get; init; }

    public SqlExpression? Offset { get; init; }

    public ConsoleColumn[] Columns => [.. Items.Select(i => new ConsoleColumn(i.Name, i.Expression.Type))];

    /// <summary>The rows of the result.</summary>
    public IReadOnlyList<object?[]> Run(IEnumerable<object?[]> source, object?[] parameters)
    {
        var rows = source.Select(cells => new SqlRow(cells, [], parameters));
        if (Where is not null) rows = rows.Where(row => Where.Evaluate(row) is true);
        if (GroupBy is not null || Aggregates.Count > 0) rows = Group(rows, parameters);
        var sorted = rows.ToArray();
        if (OrderBy.Count > 0) sorted = [.. Sort(sorted)];
        var none = new SqlRow([], [], parameters);
        IEnumerable<SqlRow> cut = sorted;
        if (Offset?.Evaluate(none) is { } offset) cut = cut.Skip(Clamp(offset));
        if (Limit?.Evaluate(none) is { } limit) cut = cut.Take(Clamp(limit));
        return [.. cut.Select(row => Items.Select(item => item.Expression.Evaluate(row)).ToArray())];
    }

    private static int Clamp(object count) => (int)Math.Clamp(SqlValue.Number(count), 0, int.MaxValue);

    private IEnumerable<SqlRow> Group(IEnumerable<SqlRow> rows, object?[] parameters)
    {
        var groups = new Dictionary<string, List<SqlRow>>();
        foreach (var row in rows)
        {
            // Lengths in front of the values keep neighbours apart.
            var key = string.Concat((GroupBy ?? []).Select(i => WireValue.Text(row.Cells[i]) is { } text ? $"{text.Length}:{text}" : "-"));
            (CollectionsMarshal.GetValueRefOrAddDefault(groups, key, out _) ??= []).Add(row);
        }
        // Aggregates over nothing are one row; groups of nothing are none.
        if (groups.Count == 0 && GroupBy is null) return [new SqlRow([], Values([]), parameters)];
        return groups.Values.Select(group => group[0] with { Aggregates = Values(group) });
    }

    private object?[] Values(List<SqlRow> group) => [.. Aggregates.Select(a => a.Over(group))];

    private IEnumerable<SqlRow> Sort(SqlRow[] rows)
    {
        // Keys once per row; the index keeps the sort stable.
        var keyed = rows.Select((row, index) => (Row: row, Index: index, Keys: OrderBy.Select(o => o.Expression.Evaluate(row)).ToArray())).ToArray();
        Array.Sort(keyed, (a, b) =>
        {
            for (var i = 0; i < OrderBy.Count; i++)
            {
                var order = Compare(a.Keys[i], b.Keys[i], OrderBy[i]);
                if (order != 0) return order;
            }
            return a.Index.CompareTo(b.Index);
        });
        return keyed.Select(k => k.Row);
    }

    private static int Compare(object? left, object? right, SelectOrder order)
    {
        if (left is null || right is null)
        {
            if (left is null && right is null) return 0;
            return left is null == order.NullsFirst ? -1 : 1;
        }
        var compared = SqlValue.Compare(left, right);
        return order.Descending ? -compared : compared;
    }
}
