using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Unicode;

namespace Pooler.Server.Http.Page;

/// <summary>
/// HTML in the making. What is written in the source is markup, what is filled into its holes is text and encoded: names
/// and SQL come from clients. Attributes have to be quoted.
/// </summary>
internal sealed class HtmlText
{
    private static readonly HtmlEncoder Encoder = HtmlEncoder.Create(UnicodeRanges.All);

    private readonly StringBuilder _text = new();

    /// <summary>Adds markup with its holes filled.</summary>
    public HtmlText Add([InterpolatedStringHandlerArgument("")] Markup markup)
    {
        _ = markup;
        return this;
    }

    public override string ToString() => _text.ToString();

    /// <summary>Adds the pieces of an interpolated string.</summary>
    [InterpolatedStringHandler]
    internal readonly ref struct Markup(int literalLength, int formattedCount, HtmlText html)
    {
        private readonly StringBuilder _text = html._text.EnsureRoom(literalLength + 16 * formattedCount);

        public void AppendLiteral(string markup) => _text.Append(markup);

        public void AppendFormatted(string? text)
        {
            if (!string.IsNullOrEmpty(text)) _text.Append(Encoder.Encode(text));
        }

        public void AppendFormatted(long number) => _text.Append(CultureInfo.InvariantCulture, $"{number}");

        /// <summary>A moment: in UTC, and as the reader's local time once the script has seen it.</summary>
        public void AppendFormatted(DateTimeOffset moment) =>
            _text.Append(CultureInfo.InvariantCulture, $"<time datetime=\"{moment.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss'Z'}\">{moment.UtcDateTime:HH:mm:ss} UTC</time>");

        /// <summary>Finished markup.</summary>
        public void AppendFormatted(HtmlText part) => _text.Append(part._text);
    }
}

file static class Room
{
    public static StringBuilder EnsureRoom(this StringBuilder text, int more)
    {
        text.EnsureCapacity(text.Length + more);
        return text;
    }
}
