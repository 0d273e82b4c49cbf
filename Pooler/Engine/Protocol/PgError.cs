namespace Pooler.Engine.Protocol;

/// <summary>
/// An error or notice as PostgreSQL reports it. Fields: PostgreSQL documentation, "Error and Notice Message Fields";
/// codes: appendix A, "PostgreSQL Error Codes".
/// </summary>
/// <param name="Severity">ERROR, FATAL, or for notices NOTICE, WARNING …</param>
/// <param name="SqlState">Five characters.</param>
/// <param name="Message">The primary message, one line.</param>
public sealed record PgError(string Severity, string SqlState, string Message)
{
    /// <summary>Optional secondary message with more detail.</summary>
    public string? Detail { get; init; }

    /// <summary>Optional advice on what to do.</summary>
    public string? Hint { get; init; }

    /// <summary>What the log calls it where that is not <see cref="Message"/>: PgBouncer's words, for log parsers.</summary>
    public string? LoggedAs { get; init; }

    /// <summary>Optional place of the error in the query, in characters from 1.</summary>
    public int? Position { get; init; }

    /// <summary>An error that ends the connection.</summary>
    public static PgError Fatal(string sqlState, string message, string? hint = null, string? detail = null) =>
        new("FATAL", sqlState, message) { Hint = hint, Detail = detail };

    /// <summary>An error that ends the statement only.</summary>
    public static PgError Error(string sqlState, string message, string? hint = null, string? detail = null) =>
        new("ERROR", sqlState, message) { Hint = hint, Detail = detail };

    /// <summary>Appends the error as an ErrorResponse.</summary>
    public void WriteTo(MessageWriter writer) => WriteTo(writer, (byte)'E');

    /// <summary>Appends it as a NoticeResponse.</summary>
    public void WriteNoticeTo(MessageWriter writer) => WriteTo(writer, (byte)'N');

    private void WriteTo(MessageWriter writer, byte type)
    {
        writer.Begin(type);
        writer.Byte((byte)'S').CString(Severity);
        writer.Byte((byte)'V').CString(Severity);
        writer.Byte((byte)'C').CString(SqlState);
        writer.Byte((byte)'M').CString(Message);
        if (Detail is not null) writer.Byte((byte)'D').CString(Detail);
        if (Hint is not null) writer.Byte((byte)'H').CString(Hint);
        if (Position is { } position) writer.Byte((byte)'P').CString(position.ToString(System.Globalization.CultureInfo.InvariantCulture));
        writer.Byte(0).End();
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Severity}: {Message} ({SqlState})";
}
