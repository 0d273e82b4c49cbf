using System.Text;

namespace Pooler.Engine.Protocol;

/// <summary>
/// Reads ErrorResponse and NoticeResponse bodies. Tolerant: a server in an early phase may leave fields out or use an
/// encoding other than UTF-8, and what can be read of its reason is worth more than a complaint about its form.
/// </summary>
public static class ErrorFields
{
    /// <summary>Reads a body (without type and length). Missing fields get neutral values; never throws.</summary>
    public static PgError Read(ReadOnlySpan<byte> body)
    {
        string? severity = null, localizedSeverity = null, code = null, message = null, detail = null, hint = null;
        var reader = new MessageReader(body);
        while (reader.TryReadByte(out var field) && field != 0 && reader.TryReadCString(out var value))
        {
            var text = Encoding.UTF8.GetString(value);
            switch (field)
            {
                case (byte)'V': severity = text; break;
                case (byte)'S': localizedSeverity = text; break;
                case (byte)'C': code = text; break;
                case (byte)'M': message = text; break;
                case (byte)'D': detail = text; break;
                case (byte)'H': hint = text; break;
            }
        }

        // XX000 is internal_error: the sender broke the format, which no more precise code describes.
        return new PgError(severity ?? localizedSeverity ?? "ERROR", code is { Length: 5 } ? code : "XX000", message ?? "the server reported an error without a message")
        {
            Detail = detail,
            Hint = hint,
        };
    }

    /// <summary>
    /// Finds the SQLSTATE without decoding anything else: empty when there is none.
    /// </summary>
    public static ReadOnlySpan<byte> ReadSqlState(ReadOnlySpan<byte> body)
    {
        var reader = new MessageReader(body);
        while (reader.TryReadByte(out var field) && field != 0 && reader.TryReadCString(out var value))
        {
            if (field == (byte)'C') return value;
        }

        return default;
    }
}
