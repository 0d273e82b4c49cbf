namespace Pooler.Engine.Console;

/// <summary>The types of the console's columns. The letters of PgBouncer's row descriptions stand in brackets.</summary>
internal enum ColumnType
{
    /// <summary>[s] text.</summary>
    Text,

    /// <summary>[i] int4.</summary>
    Int4,

    /// <summary>[q] int8.</summary>
    Int8,

    /// <summary>[N] numeric.</summary>
    Numeric,

    /// <summary>[T] text that holds a time, see <see cref="ConsoleTime"/>.</summary>
    Time,

    /// <summary>[b] bytea.</summary>
    Bytea,

    /// <summary>bool; in SELECT only, no SHOW has it.</summary>
    Bool,
}

/// <summary>A column of a result.</summary>
internal sealed record ConsoleColumn(string Name, ColumnType Type)
{
    /// <summary>Columns from PgBouncer's type letters and their names, separated by blanks.</summary>
    public static ConsoleColumn[] List(string letters, string names)
    {
        var split = names.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (split.Length != letters.Length)
            throw new ArgumentException($"{letters.Length} letters for {split.Length} columns", nameof(letters));
        return [.. split.Zip(letters, (name, letter) => new ConsoleColumn(name, TypeOf(letter)))];
    }

    private static ColumnType TypeOf(char letter) => letter switch
    {
        's' => ColumnType.Text,
        'i' => ColumnType.Int4,
        'q' => ColumnType.Int8,
        'N' => ColumnType.Numeric,
        'T' => ColumnType.Time,
        'b' => ColumnType.Bytea,
        _ => throw new ArgumentException($"no such column type: {letter}", nameof(letter)),
    };
}

/// <summary>
/// A result, independent of who renders it. Cells are string (text, time), int, long, decimal, byte[], bool or null,
/// as the column's type says.
/// </summary>
internal sealed record ConsoleTable(IReadOnlyList<ConsoleColumn> Columns, IReadOnlyList<object?[]> Rows);
