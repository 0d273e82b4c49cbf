using Pooler.Engine.Protocol;

namespace Pooler.Engine.Console;

/// <summary>What an expression is evaluated against.</summary>
/// <param name="Cells">The row; null in a SELECT without FROM.</param>
/// <param name="Aggregates">Values of the aggregates over the row's group.</param>
/// <param name="Parameters">Values of $1, $2, …</param>
internal readonly record struct SqlRow(object?[] Cells, object?[] Aggregates, object?[] Parameters);

/// <summary>A typed expression. NULL is null; boolean operators are three-valued, as in SQL.</summary>
/// <param name="Type">The type of its values.</param>
/// <param name="Position">Where it begins in the query, in characters from 1.</param>
/// <param name="Evaluate">Its value for a row.</param>
internal sealed record SqlExpression(ColumnType Type, int Position, Func<SqlRow, object?> Evaluate)
{
    /// <summary>The name its column gets without an alias.</summary>
    public string Name { get; init; } = "?column?";

    /// <summary>
    /// A string literal, NULL or a parameter without a type: takes the type of what it meets, as PostgreSQL's
    /// "unknown" does.
    /// </summary>
    public bool IsUntyped { get; init; }

    public bool IsNumber => Type is ColumnType.Int4 or ColumnType.Int8 or ColumnType.Numeric;

    public bool IsText => Type is ColumnType.Text or ColumnType.Time;

    /// <summary>The same with values of another type.</summary>
    /// <exception cref="ConsoleException">While evaluating, 22P02: the text is not one of the type.</exception>
    public SqlExpression As(ColumnType type)
    {
        if (Type == type) return this;
        var evaluate = Evaluate;
        return this with { Type = type, IsUntyped = false, Evaluate = row => SqlValue.To(type, evaluate(row)) };
    }

    /// <summary>The same as a condition.</summary>
    /// <exception cref="ConsoleException">It is none.</exception>
    public SqlExpression AsCondition(string where)
    {
        if (Type == ColumnType.Bool) return this;
        if (IsUntyped) return As(ColumnType.Bool);
        throw new ConsoleException(PgError.Error("42804",
            $"argument of {where} must be type boolean, not type {WireValue.Name(Type)}") with { Position = Position });
    }
}

/// <summary>Values of expressions: conversion, order, patterns.</summary>
internal static class SqlValue
{
    public static decimal Number(object value) => value switch
    {
        int number => number,
        long number => number,
        decimal number => number,
        _ => throw new InvalidOperationException($"not a number: {value.GetType()}"),
    };

    public static object? To(ColumnType type, object? value)
    {
        if (value is null) return null;
        if (type is ColumnType.Text or ColumnType.Time) return WireValue.Text(value);
        if (value is string text) return WireValue.Convert(text, type);
        try
        {
            return type switch
            {
                ColumnType.Int4 => decimal.ToInt32(Math.Round(Number(value), MidpointRounding.AwayFromZero)),
                ColumnType.Int8 => decimal.ToInt64(Math.Round(Number(value), MidpointRounding.AwayFromZero)),
                ColumnType.Numeric => Number(value),
                _ => value,
            };
        }
        catch (OverflowException)
        {
            throw new ConsoleException(PgError.Error("22003", $"{WireValue.Name(type)} out of range"));
        }
    }

    /// <summary>Order of two values of comparable types, neither null. Texts compare by code points.</summary>
    public static int Compare(object left, object right) => (left, right) switch
    {
        (string a, string b) => string.CompareOrdinal(a, b),
        (bool a, bool b) => a.CompareTo(b),
        (byte[] a, byte[] b) => a.AsSpan().SequenceCompareTo(b),
        _ => Number(left).CompareTo(Number(right)),
    };

    /// <summary>
    /// LIKE: % is any text, _ any character, \ takes the next one as it is. Without backtracking beyond the last %, so
    /// that no pattern takes more than |text| × |pattern| steps.
    /// </summary>
    public static bool IsLike(string text, string pattern, bool ignoreCase)
    {
        if (ignoreCase) (text, pattern) = (text.ToLowerInvariant(), pattern.ToLowerInvariant());
        int t = 0, p = 0, retryText = -1, retryPattern = -1;
        while (t < text.Length)
        {
            if (p < pattern.Length && pattern[p] == '%')
            {
                (retryText, retryPattern) = (t, ++p);
                continue;
            }
            var escaped = p + 1 < pattern.Length && pattern[p] == '\\';
            if (p < pattern.Length && (escaped ? pattern[p + 1] == text[t] : pattern[p] == '_' || pattern[p] == text[t]))
            {
                t++;
                p += escaped ? 2 : 1;
                continue;
            }
            if (retryPattern < 0) return false;
            (t, p) = (++retryText, retryPattern);
        }
        while (p < pattern.Length && pattern[p] == '%') p++;
        return p == pattern.Length;
    }
}
