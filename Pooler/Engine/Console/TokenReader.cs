using System.Text;

namespace Pooler.Engine.Console;

internal enum TokenKind
{
    End,
    Word,
    QuotedName,
    String,
    Number,
    Parameter,
    Symbol,
}

/// <summary>A token.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Text">Word as written; names and strings without quotes; parameters without the dollar.</param>
/// <param name="Start">Index of its first character.</param>
/// <param name="End">Index after its last character.</param>
internal readonly record struct Token(TokenKind Kind, string Text, int Start, int End);

/// <summary>The tokens of a query, by PostgreSQL's lexical rules as far as the console needs them.</summary>
internal sealed class TokenReader
{
    private static readonly string[] LongSymbols = ["<>", "!=", "<=", ">=", "||", "::"];

    private readonly List<Token> _tokens = [];
    private int _index;

    /// <exception cref="ConsoleException">A string, name or comment does not end.</exception>
    public TokenReader(string source)
    {
        Source = source;
        for (var pos = 0; ;)
        {
            pos = SkipBlanks(pos);
            if (pos >= source.Length) break;
            var token = Scan(pos);
            _tokens.Add(token);
            pos = token.End;
        }
        _tokens.Add(new Token(TokenKind.End, "", source.Length, source.Length));
    }

    public string Source { get; }

    public Token Current => _tokens[_index];

    public bool AtEnd => Current.Kind == TokenKind.End;

    /// <summary>At the end or at a semicolon.</summary>
    public bool AtStatementEnd => AtEnd || IsSymbol(";");

    /// <summary>The tokens of the statement that begins here.</summary>
    public IEnumerable<Token> Statement
    {
        get
        {
            for (var i = _index; _tokens[i].Kind != TokenKind.End; i++)
            {
                if (_tokens[i] is { Kind: TokenKind.Symbol, Text: ";" }) yield break;
                yield return _tokens[i];
            }
        }
    }

    public Token Next() => AtEnd ? Current : _tokens[_index++];

    public Token Peek(int ahead) => _tokens[Math.Min(_index + ahead, _tokens.Count - 1)];

    public bool IsWord(string word) => IsWord(Current, word);

    public static bool IsWord(Token token, string word) =>
        token.Kind == TokenKind.Word && token.Text.Equals(word, StringComparison.OrdinalIgnoreCase);

    public bool TakeWord(string word)
    {
        if (!IsWord(word)) return false;
        _index++;
        return true;
    }

    public bool IsSymbol(string symbol) => Current.Kind == TokenKind.Symbol && Current.Text == symbol;

    public bool TakeSymbol(string symbol)
    {
        if (!IsSymbol(symbol)) return false;
        _index++;
        return true;
    }

    public void Expect(string symbol)
    {
        if (!TakeSymbol(symbol)) throw Unexpected();
    }

    public void SkipStatement()
    {
        while (!AtStatementEnd) _index++;
    }

    /// <summary>
    /// A name as an argument of a command: quoted, or everything up to the next blank or semicolon, because database
    /// names such as <c>my-shop</c> are usual and unambiguous here. Case is kept, as PgBouncer does.
    /// </summary>
    public string TakeName()
    {
        var token = Next();
        if (token.Kind is TokenKind.QuotedName or TokenKind.String) return token.Text;
        var end = token.End;
        while (!AtStatementEnd && Current.Start == end) end = Next().End;
        return Source[token.Start..end];
    }

    /// <summary>The rest of the statement as it is written.</summary>
    public string TakeRest()
    {
        var start = Current.Start;
        var end = start;
        while (!AtStatementEnd) end = Next().End;
        return Source[start..end];
    }

    /// <summary>A syntax error at the current token, in PostgreSQL's words.</summary>
    public ConsoleException Unexpected() => AtEnd
        ? ConsoleException.Syntax("syntax error at end of input", Current.Start + 1)
        : ConsoleException.Syntax($"syntax error at or near \"{Source[Current.Start..Current.End]}\"", Current.Start + 1);

    private static bool IsWordStart(char c) => char.IsLetter(c) || c == '_';

    private static bool IsWordPart(char c) => char.IsLetterOrDigit(c) || c is '_' or '$';

    private int SkipBlanks(int pos)
    {
        while (pos < Source.Length)
        {
            if (char.IsWhiteSpace(Source[pos])) pos++;
            else if (StartsWith(pos, "--")) pos = Source.IndexOf('\n', pos) is var end && end < 0 ? Source.Length : end;
            else if (StartsWith(pos, "/*")) pos = SkipComment(pos);
            else break;
        }
        return pos;
    }

    private int SkipComment(int start)
    {
        // They nest in PostgreSQL.
        var depth = 0;
        for (var pos = start; pos < Source.Length;)
        {
            if (StartsWith(pos, "/*"))
            {
                depth++;
                pos += 2;
            }
            else if (StartsWith(pos, "*/"))
            {
                pos += 2;
                if (--depth == 0) return pos;
            }
            else
            {
                pos++;
            }
        }
        throw ConsoleException.Syntax("unterminated /* comment", start + 1);
    }

    private bool StartsWith(int pos, string text) => string.CompareOrdinal(Source, pos, text, 0, text.Length) == 0;

    private Token Scan(int start)
    {
        var c = Source[start];
        var pos = start;
        if (IsWordStart(c))
        {
            while (pos < Source.Length && IsWordPart(Source[pos])) pos++;
            return new Token(TokenKind.Word, Source[start..pos], start, pos);
        }
        if (char.IsAsciiDigit(c) || (c == '.' && start + 1 < Source.Length && char.IsAsciiDigit(Source[start + 1])))
        {
            while (pos < Source.Length && (char.IsAsciiDigit(Source[pos]) || Source[pos] == '.')) pos++;
            return new Token(TokenKind.Number, Source[start..pos], start, pos);
        }
        if (c == '$' && start + 1 < Source.Length && char.IsAsciiDigit(Source[start + 1]))
        {
            pos++;
            while (pos < Source.Length && char.IsAsciiDigit(Source[pos])) pos++;
            return new Token(TokenKind.Parameter, Source[(start + 1)..pos], start, pos);
        }
        if (c is '\'' or '"') return ScanQuoted(start, c);
        foreach (var symbol in LongSymbols)
            if (StartsWith(start, symbol)) return new Token(TokenKind.Symbol, symbol, start, start + 2);
        return new Token(TokenKind.Symbol, c.ToString(), start, start + 1);
    }

    private Token ScanQuoted(int start, char quote)
    {
        var text = new StringBuilder();
        for (var pos = start + 1; pos < Source.Length; pos++)
        {
            if (Source[pos] != quote)
            {
                text.Append(Source[pos]);
            }
            else if (pos + 1 < Source.Length && Source[pos + 1] == quote)
            {
                text.Append(quote);
                pos++;
            }
            else
            {
                return new Token(quote == '"' ? TokenKind.QuotedName : TokenKind.String, text.ToString(), start, pos + 1);
            }
        }
        throw ConsoleException.Syntax(quote == '"' ? "unterminated quoted identifier" : "unterminated quoted string", start + 1);
    }
}
