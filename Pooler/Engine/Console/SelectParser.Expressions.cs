using System.Globalization;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Console;

/// <summary>
/// Expressions, from the loosest to the tightest operator: OR, AND, NOT, comparisons with IS, IN, LIKE and BETWEEN, + and -,
/// * / %, sign, casts.
/// </summary>
internal sealed partial class SelectParser
{
    // Parsing and evaluating recurse, on the stack of a loop's thread: bounded, so that no query can overflow it.
    private const int MostDepth = 100;
    private const int MostOperators = 500;

    private static readonly string[] Comparisons = ["=", "<>", "!=", "<", "<=", ">", ">="];

    private int _depth;
    private int _operators;

    private SqlExpression ParseExpression()
    {
        if (++_depth > MostDepth) throw TooComplex();
        var left = ParseAnd();
        while (tokens.TakeWord("or"))
        {
            CountOperator();
            var (a, b) = (left.AsCondition("OR"), ParseAnd().AsCondition("OR"));
            left = new SqlExpression(ColumnType.Bool, left.Position, row =>
            {
                var first = a.Evaluate(row);
                if (first is true) return true;
                var second = b.Evaluate(row);
                return second is true ? true : first is null || second is null ? null : false;
            });
        }
        _depth--;
        return left;
    }

    private SqlExpression ParseAnd()
    {
        var left = ParseNot();
        while (tokens.TakeWord("and"))
        {
            CountOperator();
            var (a, b) = (left.AsCondition("AND"), ParseNot().AsCondition("AND"));
            left = new SqlExpression(ColumnType.Bool, left.Position, row =>
            {
                var first = a.Evaluate(row);
                if (first is false) return false;
                var second = b.Evaluate(row);
                return second is false ? false : first is null || second is null ? null : true;
            });
        }
        return left;
    }

    private SqlExpression ParseNot()
    {
        var negations = 0;
        var position = tokens.Current.Start + 1;
        while (tokens.TakeWord("not")) negations++;
        var operand = ParseComparison();
        if (negations == 0) return operand;
        operand = operand.AsCondition("NOT");
        return negations % 2 == 0 ? operand : Not(operand, position);
    }

    private static SqlExpression Not(SqlExpression operand, int position) =>
        new(ColumnType.Bool, position, row => operand.Evaluate(row) is bool truth ? !truth : null);

    private SqlExpression ParseComparison()
    {
        var left = ParseSum();
        while (true)
        {
            var token = tokens.Current;
            if (token.Kind == TokenKind.Symbol && Comparisons.Contains(token.Text))
            {
                CountOperator();
                tokens.Next();
                left = Compare(left, token, ParseSum());
            }
            else if (tokens.TakeWord("is"))
            {
                CountOperator();
                left = ParseIs(left);
            }
            else
            {
                var negated = tokens.IsWord("not") && IsNegatable(tokens.Peek(1));
                if (!negated && !IsNegatable(token)) return left;
                CountOperator();
                if (negated) tokens.Next();
                var test = ParseTest(left);
                left = negated ? Not(test, left.Position) : test;
            }
        }
    }

    private static bool IsNegatable(Token token) => TokenReader.IsWord(token, "in") || TokenReader.IsWord(token, "like")
        || TokenReader.IsWord(token, "ilike") || TokenReader.IsWord(token, "between");

    private SqlExpression ParseTest(SqlExpression left)
    {
        var token = tokens.Next();
        switch (token.Text.ToLowerInvariant())
        {
            case "in":
                tokens.Expect("(");
                var any = default(SqlExpression);
                do
                {
                    CountOperator();
                    var equal = Compare(left, token with { Text = "=" }, ParseExpression());
                    any = any is null ? equal : Or(any, equal);
                }
                while (tokens.TakeSymbol(","));
                tokens.Expect(")");
                return any;
            case "between":
                var low = Compare(left, token with { Text = ">=" }, ParseSum());
                if (!tokens.TakeWord("and")) throw tokens.Unexpected();
                var high = Compare(left, token with { Text = "<=" }, ParseSum());
                return Not(Or(Not(low, left.Position), Not(high, left.Position)), left.Position);
            default:
                var ignoresCase = TokenReader.IsWord(token, "ilike");
                var pattern = ParseSum();
                if (!(left.IsText || left.IsUntyped) || !(pattern.IsText || pattern.IsUntyped)) throw NoOperator(left, token, pattern);
                return new SqlExpression(ColumnType.Bool, left.Position, row =>
                    left.Evaluate(row) is string text && pattern.Evaluate(row) is string like
                        ? SqlValue.IsLike(text, like, ignoresCase)
                        : null);
        }
    }

    private static SqlExpression Or(SqlExpression a, SqlExpression b) => new(ColumnType.Bool, a.Position, row =>
    {
        var (first, second) = (a.Evaluate(row), b.Evaluate(row));
        return first is true || second is true ? true : first is null || second is null ? null : false;
    });

    private SqlExpression ParseIs(SqlExpression left)
    {
        var negated = tokens.TakeWord("not");
        Func<SqlRow, object?> test;
        if (tokens.TakeWord("null"))
        {
            test = row => left.Evaluate(row) is null;
        }
        else if (tokens.IsWord("true") || tokens.IsWord("false"))
        {
            var expected = TokenReader.IsWord(tokens.Next(), "true");
            var condition = left.AsCondition("IS");
            test = row => condition.Evaluate(row) is bool truth && truth == expected;
        }
        else
        {
            throw tokens.Unexpected();
        }
        return new SqlExpression(ColumnType.Bool, left.Position, row => (bool)test(row)! != negated);
    }

    private static SqlExpression Compare(SqlExpression left, Token operation, SqlExpression right)
    {
        if (left.IsUntyped && !right.IsUntyped) left = Meet(left, Comparable(right.Type));
        if (right.IsUntyped && !left.IsUntyped) right = Meet(right, Comparable(left.Type));
        var fits = (left.IsNumber && right.IsNumber) || (left.IsText && right.IsText) || left.Type == right.Type;
        if (!fits) throw NoOperator(left, operation, right);
        Func<int, bool> holds = operation.Text switch
        {
            "=" => static order => order == 0,
            "<>" or "!=" => static order => order != 0,
            "<" => static order => order < 0,
            "<=" => static order => order <= 0,
            ">" => static order => order > 0,
            _ => static order => order >= 0,
        };
        var (a, b) = (left, right);
        return new SqlExpression(ColumnType.Bool, left.Position, row =>
            a.Evaluate(row) is { } first && b.Evaluate(row) is { } second ? holds(SqlValue.Compare(first, second)) : null);
    }

    // A fraction may well be compared with whole numbers.
    private static ColumnType Comparable(ColumnType type) =>
        type is ColumnType.Int4 or ColumnType.Int8 ? ColumnType.Numeric : type;

    /// <summary>An untyped expression takes the type of what it meets.</summary>
    private static SqlExpression Meet(SqlExpression expression, ColumnType type) =>
        expression.Type == type ? expression : expression.As(type);

    private SqlExpression ParseSum()
    {
        var left = ParseProduct();
        while (tokens.IsSymbol("+") || tokens.IsSymbol("-") || tokens.IsSymbol("||"))
        {
            CountOperator();
            var operation = tokens.Next();
            var right = ParseProduct();
            left = operation.Text == "||" ? Concatenate(left, right) : Calculate(left, operation, right);
        }
        return left;
    }

    private SqlExpression ParseProduct()
    {
        var left = ParseSigned();
        while (tokens.IsSymbol("*") || tokens.IsSymbol("/") || tokens.IsSymbol("%"))
        {
            CountOperator();
            var operation = tokens.Next();
            left = Calculate(left, operation, ParseSigned());
        }
        return left;
    }

    private static SqlExpression Concatenate(SqlExpression left, SqlExpression right)
    {
        var (a, b) = (left.As(ColumnType.Text), right.As(ColumnType.Text));
        return new SqlExpression(ColumnType.Text, left.Position, row =>
            a.Evaluate(row) is string first && b.Evaluate(row) is string second ? first + second : null);
    }

    private static SqlExpression Calculate(SqlExpression left, Token operation, SqlExpression right)
    {
        if (left.IsUntyped) left = Meet(left, right.IsNumber ? right.Type : ColumnType.Numeric);
        if (right.IsUntyped) right = Meet(right, left.IsNumber ? left.Type : ColumnType.Numeric);
        if (!left.IsNumber || !right.IsNumber) throw NoOperator(left, operation, right);
        // Whole numbers stay whole, as in PostgreSQL; int8, because nothing here needs int4's overflow.
        var whole = left.Type != ColumnType.Numeric && right.Type != ColumnType.Numeric;
        var type = whole ? ColumnType.Int8 : ColumnType.Numeric;
        var (a, b) = (left, right);
        return new SqlExpression(type, left.Position, row =>
        {
            if (a.Evaluate(row) is not { } first || b.Evaluate(row) is not { } second) return null;
            var (x, y) = (SqlValue.Number(first), SqlValue.Number(second));
            if (y == 0 && operation.Text is "/" or "%") throw new ConsoleException(PgError.Error("22012", "division by zero"));
            try
            {
                var result = operation.Text switch
                {
                    "+" => x + y,
                    "-" => x - y,
                    "*" => x * y,
                    "%" => x % y,
                    _ => whole ? decimal.Truncate(x / y) : x / y,
                };
                return SqlValue.To(type, result);
            }
            catch (OverflowException)
            {
                throw new ConsoleException(PgError.Error("22003", $"{WireValue.Name(type)} out of range"));
            }
        });
    }

    private SqlExpression ParseSigned()
    {
        var position = tokens.Current.Start + 1;
        var negative = false;
        while (tokens.IsSymbol("-") || tokens.IsSymbol("+")) negative ^= tokens.Next().Text == "-";
        var operand = ParseCast();
        if (!negative) return operand;
        var zero = new SqlExpression(operand.IsNumber ? operand.Type : ColumnType.Int4, position, static _ => 0);
        var minus = Calculate(zero, new Token(TokenKind.Symbol, "-", position - 1, position), operand);
        return operand.Type == ColumnType.Int4 ? minus.As(ColumnType.Int4) : minus;
    }

    private SqlExpression ParseCast()
    {
        var operand = ParsePrimary();
        while (tokens.TakeSymbol("::"))
        {
            CountOperator();
            var name = tokens.Next();
            ColumnType? type = name.Text.ToLowerInvariant() switch
            {
                "int" or "int4" or "integer" => ColumnType.Int4,
                "int8" or "bigint" => ColumnType.Int8,
                "numeric" or "decimal" => ColumnType.Numeric,
                "text" or "varchar" => ColumnType.Text,
                "bool" or "boolean" => ColumnType.Bool,
                _ => null,
            };
            if (type is null) throw new ConsoleException(PgError.Error("42704", $"type \"{name.Text}\" does not exist") with { Position = name.Start + 1 });
            operand = operand.As(type.Value) with { IsUntyped = false };
        }
        return operand;
    }

    private SqlExpression ParsePrimary()
    {
        var token = tokens.Current;
        var position = token.Start + 1;
        switch (token.Kind)
        {
            case TokenKind.Number:
                tokens.Next();
                return Literal(Number(token), position);
            case TokenKind.String:
                tokens.Next();
                return new SqlExpression(ColumnType.Text, position, _ => token.Text) { IsUntyped = true };
            case TokenKind.Parameter:
                tokens.Next();
                return Parameter(token, position);
            case TokenKind.Symbol when token.Text == "(":
                tokens.Next();
                var inner = ParseExpression();
                tokens.Expect(")");
                return inner;
            case TokenKind.QuotedName:
                return ParseName();
            case TokenKind.Word when ClauseWords.Contains(token.Text, StringComparer.OrdinalIgnoreCase):
                throw tokens.Unexpected();
            case TokenKind.Word:
                return ParseWord(position);
            default:
                throw tokens.Unexpected();
        }
    }

    private SqlExpression ParseWord(int position)
    {
        if (tokens.TakeWord("null")) return new SqlExpression(ColumnType.Text, position, static _ => null) { IsUntyped = true };
        if (tokens.TakeWord("true")) return Literal(true, position);
        if (tokens.TakeWord("false")) return Literal(false, position);
        var token = tokens.Current;
        // pg_catalog.version() and its like: drivers qualify functions.
        if (tokens.IsWord("pg_catalog") && tokens.Peek(1) is { Kind: TokenKind.Symbol, Text: "." })
        {
            tokens.Next();
            tokens.Next();
            token = tokens.Current;
        }
        if (tokens.Peek(1) is { Kind: TokenKind.Symbol, Text: "(" }) return ParseFunction(tokens.Next(), position);
        return token.Text.ToLowerInvariant() is "current_user" or "session_user" && tokens.Next().Kind == TokenKind.Word
            ? Literal("pgbouncer", position) with { Name = token.Text.ToLowerInvariant() }
            : ParseName();
    }

    private SqlExpression ParseFunction(Token name, int position)
    {
        tokens.Expect("(");
        var function = name.Text.ToLowerInvariant();
        if (SqlAggregate.IsName(function)) return ParseAggregate(function, name, position);
        object? value = function switch
        {
            "version" => ConsoleParameters.Version,
            "current_database" => EngineCore.ConsoleDatabase,
            // libpq and others ask before they take a server for writing.
            "pg_is_in_recovery" => false,
            // Part of how Npgsql resets a connection that has prepared statements; returns void, which is empty text.
            "pg_advisory_unlock_all" => "",
            _ => throw new ConsoleException(PgError.Error("42883", $"function {function}() does not exist",
                hint: "The admin console has count, sum, min, max and avg.") with { Position = position }),
        };
        tokens.Expect(")");
        return Literal(value, position) with { Name = function };
    }

    private SqlExpression ParseAggregate(string function, Token name, int position)
    {
        if (_inAggregate) throw new ConsoleException(PgError.Error("42803", "aggregate function calls cannot be nested") with { Position = position });
        SqlExpression? argument = null;
        var distinct = false;
        if (function != "count" || !tokens.TakeSymbol("*"))
        {
            _inAggregate = true;
            distinct = tokens.TakeWord("distinct");
            argument = ParseExpression();
            _inAggregate = false;
            if (function is "sum" or "avg")
            {
                if (argument.IsUntyped) argument = Meet(argument, ColumnType.Numeric);
                if (!argument.IsNumber)
                    throw new ConsoleException(PgError.Error("42883", $"function {name.Text}({WireValue.Name(argument.Type)}) does not exist") with { Position = position });
            }
        }
        tokens.Expect(")");
        var aggregate = new SqlAggregate(function, argument, distinct);
        var index = _aggregates.Count;
        _aggregates.Add(aggregate);
        return new SqlExpression(aggregate.Type, position, row => row.Aggregates[index]) { Name = function };
    }

    /// <summary>A column, with or without the table's name or alias in front.</summary>
    private SqlExpression ParseName()
    {
        var token = tokens.Next();
        if (tokens.IsSymbol("."))
        {
            if (_source is null || !IsAliasOfSource(token))
                throw new ConsoleException(PgError.Error("42P01", $"missing FROM-clause entry for table \"{token.Text}\"") with { Position = token.Start + 1 });
            tokens.Next();
            if (tokens.Current.Kind is not (TokenKind.Word or TokenKind.QuotedName)) throw tokens.Unexpected();
            token = tokens.Next();
        }
        var name = Fold(token);
        var index = _source is null ? -1 : Array.FindIndex(_source.Columns, c => c.Name == name);
        if (index < 0)
        {
            throw new ConsoleException(PgError.Error("42703", $"column \"{name}\" does not exist",
                hint: _source is null ? null : $"Columns of {_source.Name}: {string.Join(", ", _source.Columns.Select(c => c.Name))}.")
                with { Position = token.Start + 1 });
        }
        return Column(index, token.Start + 1);
    }

    private SqlExpression Column(int index, int position)
    {
        if (!_inAggregate) _bareColumns.Add((index, position));
        var column = _source!.Columns[index];
        return new SqlExpression(column.Type, position, row => row.Cells[index]) { Name = column.Name };
    }

    private SqlExpression Parameter(Token token, int position)
    {
        // Npgsql and others number from 1; a gap would leave parameters without a use.
        if (!int.TryParse(token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number is < 1 or > 100)
            throw new ConsoleException(PgError.Error("42P02", $"there is no parameter ${token.Text}") with { Position = position });
        while (_parameters.Count < number) _parameters.Add(0);
        var oid = _parameters[number - 1];
        return new SqlExpression(WireValue.TypeOf(oid), position, row => row.Parameters[number - 1]) { IsUntyped = oid is 0 or 705 };
    }

    private static object Number(Token token)
    {
        if (int.TryParse(token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out var small)) return small;
        if (long.TryParse(token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out var large)) return large;
        if (decimal.TryParse(token.Text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var exact)) return exact;
        throw ConsoleException.Syntax($"syntax error at or near \"{token.Text}\"", token.Start + 1);
    }

    private static SqlExpression Literal(object? value, int position) => new(value switch
    {
        int => ColumnType.Int4,
        long => ColumnType.Int8,
        decimal => ColumnType.Numeric,
        bool => ColumnType.Bool,
        _ => ColumnType.Text,
    }, position, _ => value);

    private void CountOperator()
    {
        if (++_operators > MostOperators) throw TooComplex();
    }

    private static ConsoleException TooComplex() => new(PgError.Error("54001", "the query is too complex for the admin console"));

    private static ConsoleException NoOperator(SqlExpression left, Token operation, SqlExpression right) => new(PgError.Error("42883",
        $"operator does not exist: {WireValue.Name(left.Type)} {operation.Text.ToUpperInvariant()} {WireValue.Name(right.Type)}")
        with { Position = operation.Start + 1 });
}
