using System.Buffers;
using System.Text;

namespace Pooler.Engine.Telemetry;

/// <summary>SQL as it may be shown: without the values in it.</summary>
/// <remarks>
/// Follows the lexical rules of PostgreSQL (documentation, "Lexical Structure"). Where a text can be read in two ways,
/// depending on settings of the session or on its encoding, the rest is left out rather than shown: a secret must not
/// be seen because of a guess.
/// </remarks>
public static class QueryText
{
    /// <summary>What stands for a text's missing end.</summary>
    public const string Ellipsis = "…";

    /// <summary>
    /// Replaces literals (strings of every kind, numbers) by <c>?</c>, leaves out comments and folds blanks. Never fails,
    /// whatever the bytes are.
    /// </summary>
    /// <param name="sql">The text, in an encoding that has ASCII in it.</param>
    /// <param name="isCut">Whether it is only the beginning of the text.</param>
    public static string WithoutLiterals(ReadOnlySpan<byte> sql, bool isCut = false)
    {
        // Nothing grows: each literal has at least one byte, each comment two.
        var output = ArrayPool<byte>.Shared.Rent(sql.Length + 1);
        try
        {
            var lexer = new Lexer(sql, output);
            lexer.Run();
            var text = Encoding.UTF8.GetString(lexer.Written);
            // The control characters beyond ASCII move terminals as well.
            if (text.AsSpan().ContainsAnyInRange('\u0080', '\u009F')) text = string.Concat(text.Select(c => c is >= '\u0080' and <= '\u009F' ? '\uFFFD' : c));
            return isCut || lexer.GaveUp ? text + Ellipsis : text;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(output, clearArray: true);
        }
    }

    /// <summary>The text as it is.</summary>
    public static string AsIs(ReadOnlySpan<byte> sql, bool isCut = false)
    {
        var text = Encoding.UTF8.GetString(sql);
        return isCut ? text + Ellipsis : text;
    }

    private ref struct Lexer(ReadOnlySpan<byte> sql, Span<byte> output)
    {
        private readonly ReadOnlySpan<byte> _sql = sql;
        private readonly Span<byte> _output = output;
        private int _pos;
        private int _length;
        private bool _blank;

        /// <summary>The rest cannot be read with certainty.</summary>
        public bool GaveUp { get; private set; }

        public readonly ReadOnlySpan<byte> Written => _output[.._length];

        public void Run()
        {
            while (_pos < _sql.Length && !GaveUp)
            {
                var c = _sql[_pos];
                if (IsBlank(c)) Skip(1);
                else if (c == '-' && Next(1) == '-') SkipLine();
                else if (c == '/' && Next(1) == '*') SkipComment();
                else if (c == '\'') Literal(EndOfString(_pos, escapes: false));
                else if (c == '"') QuotedName();
                else if (IsDigit(c) || (c == '.' && IsDigit(Next(1)))) Literal(EndOfNumber());
                else if (c == '$') Dollar();
                else if (IsNameStart(c)) Name();
                else Copy(1);
            }
        }

        private readonly int Next(int offset) => _pos + offset < _sql.Length ? _sql[_pos + offset] : -1;

        // With all other control characters: PostgreSQL refuses them, and they must not get into a log.
        private static bool IsBlank(byte c) => c is <= (byte)' ' or 0x7F;

        private static bool IsDigit(int c) => c is >= '0' and <= '9';

        private static bool IsNameStart(int c) => c is (>= 'a' and <= 'z') or (>= 'A' and <= 'Z') or '_' or >= 0x80;

        private static bool IsNamePart(int c) => IsNameStart(c) || IsDigit(c) || c == '$';

        private void Skip(int count)
        {
            _pos += count;
            _blank = true;
        }

        private void Put(byte c)
        {
            if (_blank && _length > 0) _output[_length++] = (byte)' ';
            _blank = false;
            _output[_length++] = c;
        }

        private void Copy(int count)
        {
            for (var end = _pos + count; _pos < end; _pos++)
            {
                // Within a quoted name it may be anything, and must not break a line.
                var c = _sql[_pos];
                Put(IsBlank(c) ? (byte)' ' : c);
            }
        }

        private void Literal(int end)
        {
            Put((byte)'?');
            _pos = end;
        }

        private void SkipLine()
        {
            var rest = _sql[_pos..];
            var end = rest.IndexOfAny((byte)'\n', (byte)'\r');
            Skip(end < 0 ? rest.Length : end);
        }

        private void SkipComment()
        {
            var depth = 0;
            var pos = _pos;
            for (; pos < _sql.Length; pos++)
            {
                var next = pos + 1 < _sql.Length ? _sql[pos + 1] : 0;
                if (_sql[pos] == '/' && next == '*')
                {
                    depth++;
                    pos++;
                }
                else if (_sql[pos] == '*' && next == '/')
                {
                    pos++;
                    if (--depth == 0)
                    {
                        pos++;
                        break;
                    }
                }
            }
            Skip(Math.Min(pos, _sql.Length) - _pos);
        }

        private void QuotedName()
        {
            var end = _pos + 1;
            while (end < _sql.Length)
            {
                if (_sql[end++] != '"') continue;
                if (end < _sql.Length && _sql[end] == '"') end++;
                else break;
            }
            Copy(end - _pos);
        }

        /// <summary>A name or key word, or the letters in front of a string that say how it is written.</summary>
        private void Name()
        {
            var end = _pos + 1;
            while (end < _sql.Length && IsNamePart(_sql[end])) end++;
            if (end - _pos == 1)
            {
                var letter = _sql[_pos] | 0x20;
                var quote = letter is 'e' or 'b' or 'x' or 'n' ? 1 : letter == 'u' && Next(1) == '&' ? 2 : 0;
                if (quote > 0 && Next(quote) == '\'')
                {
                    Literal(EndOfString(_pos + quote, escapes: letter == 'e'));
                    return;
                }
            }
            Copy(end - _pos);
        }

        /// <summary>A parameter ($1), a dollar-quoted string, or just the sign.</summary>
        private void Dollar()
        {
            var end = _pos + 1;
            if (IsDigit(Next(1)))
            {
                while (end < _sql.Length && IsDigit(_sql[end])) end++;
                Copy(end - _pos);
                return;
            }
            if (end < _sql.Length && IsNameStart(_sql[end]))
                while (end < _sql.Length && IsNamePart(_sql[end]) && _sql[end] != '$') end++;
            if (end >= _sql.Length && end > _pos + 1)
            {
                // Of a text that is cut, this may be the tag of what follows.
                Copy(end - _pos);
                return;
            }
            if (end >= _sql.Length || _sql[end] != '$')
            {
                Copy(1);
                return;
            }
            var tag = _sql[_pos..(end + 1)];
            var close = _sql[(end + 1)..].IndexOf(tag);
            Literal(close < 0 ? _sql.Length : end + 1 + close + tag.Length);
        }

        /// <summary>The end of a number, with all letters that follow at once: newer servers refuse them, older ones took them for a name.</summary>
        private int EndOfNumber()
        {
            var end = _pos + 1;
            while (end < _sql.Length)
            {
                var c = _sql[end];
                var isExponentSign = c is (byte)'+' or (byte)'-' && (_sql[end - 1] | 0x20) == 'e' && end + 1 < _sql.Length && IsDigit(_sql[end + 1]);
                if (!IsNameStart(c) && !IsDigit(c) && c != '.' && !isExponentSign) break;
                end++;
            }
            // Of a name that such a server saw there, or the beginning of a string.
            GaveUp |= end < _sql.Length && _sql[end] == '$';
            return end;
        }

        /// <summary>
        /// The end of a string that begins at a quote, with the parts that continue it (PostgreSQL documentation, section
        /// "String Constants").
        /// </summary>
        private int EndOfString(int quote, bool escapes)
        {
            var pos = quote + 1;
            while (true)
            {
                var found = _sql[Math.Min(pos, _sql.Length)..].IndexOf((byte)'\'');
                if (found < 0) return _sql.Length;
                var end = pos + found;
                var backslashes = 0;
                while (end - backslashes > quote + 1 && _sql[end - backslashes - 1] == '\\') backslashes++;
                // Whether it ends here depends on standard_conforming_strings; or, in encodings in which the second byte of a
                // character may be a backslash (SJIS, BIG5, GB18030), on the byte before it.
                if (backslashes > 0 && (_sql[end - backslashes - 1] >= 0x80 || (!escapes && (backslashes & 1) != 0)))
                {
                    GaveUp = true;
                    return _sql.Length;
                }
                if ((backslashes & 1) != 0)
                {
                    pos = end + 1;
                    continue;
                }
                if (end + 1 < _sql.Length && _sql[end + 1] == '\'')
                {
                    pos = end + 2;
                    continue;
                }
                var next = Continuation(end + 1);
                if (next < 0) return end + 1;
                quote = next;
                pos = next + 1;
            }
        }

        /// <summary>The quote with which a string goes on on another line; -1 when it does not.</summary>
        private readonly int Continuation(int pos)
        {
            while (pos < _sql.Length)
            {
                if (_sql[pos] == '\'') return pos;
                if (IsBlank(_sql[pos]))
                {
                    pos++;
                }
                else if (_sql[pos] == '-' && pos + 1 < _sql.Length && _sql[pos + 1] == '-')
                {
                    var line = _sql[pos..].IndexOfAny((byte)'\n', (byte)'\r');
                    if (line < 0) return -1;
                    pos += line;
                }
                else
                {
                    return -1;
                }
            }
            return -1;
        }
    }
}
