namespace Pooler.Engine.Console;

/// <summary>count, sum, min, max or avg in a query; its value stands in <see cref="SqlRow.Aggregates"/>.</summary>
/// <param name="Function">Lower case.</param>
/// <param name="Argument">Null for count(*).</param>
/// <param name="Distinct">Counts each value once.</param>
internal sealed record SqlAggregate(string Function, SqlExpression? Argument, bool Distinct)
{
    public static bool IsName(string name) => name is "count" or "sum" or "min" or "max" or "avg";

    /// <summary>The type of the value, PostgreSQL's.</summary>
    public ColumnType Type => Function switch
    {
        "count" => ColumnType.Int8,
        "avg" => ColumnType.Numeric,
        "sum" => Argument!.Type == ColumnType.Int4 ? ColumnType.Int8 : ColumnType.Numeric,
        _ => Argument!.Type,
    };

    /// <summary>The value over the rows of a group.</summary>
    public object? Over(IEnumerable<SqlRow> rows)
    {
        if (Argument is null) return (long)rows.Count();
        var values = rows.Select(Argument.Evaluate).OfType<object>();
        if (Distinct) values = values.DistinctBy(v => WireValue.Text(v));
        var list = values.ToArray();
        if (Function == "count") return (long)list.Length;
        // Without values all but count are NULL.
        if (list.Length == 0) return null;
        return Function switch
        {
            "min" => list.Aggregate((a, b) => SqlValue.Compare(b, a) < 0 ? b : a),
            "max" => list.Aggregate((a, b) => SqlValue.Compare(b, a) > 0 ? b : a),
            "avg" => Math.Round(list.Sum(SqlValue.Number) / list.Length, 16),
            _ => SqlValue.To(Type, list.Sum(SqlValue.Number)),
        };
    }
}
