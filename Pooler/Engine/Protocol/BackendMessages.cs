namespace Pooler.Engine.Protocol;

/// <summary>A result column of the pooler's own answers.</summary>
/// <param name="Name">Column name.</param>
/// <param name="TypeOid">pg_type.oid of the type: 25 text, 20 int8, 23 int4, 16 bool, 701 float8 …</param>
/// <param name="TypeSize">pg_type.typlen: negative for variable width.</param>
/// <param name="Format">0 for text, 1 for binary.</param>
public readonly record struct ColumnDescription(string Name, int TypeOid, short TypeSize, short Format = 0);

/// <summary>Messages the pooler sends to clients, as a PostgreSQL server would.</summary>
public static class BackendMessages
{
    /// <summary>AuthenticationOk.</summary>
    public static void AuthenticationOk(this MessageWriter writer) =>
        writer.Begin(Backend.Authentication).Int32(AuthenticationCode.Ok).End();

    /// <summary>AuthenticationCleartextPassword.</summary>
    public static void AuthenticationCleartextPassword(this MessageWriter writer) =>
        writer.Begin(Backend.Authentication).Int32(AuthenticationCode.CleartextPassword).End();

    /// <summary>AuthenticationMD5Password.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="salt">Four bytes.</param>
    public static void AuthenticationMd5Password(this MessageWriter writer, ReadOnlySpan<byte> salt) =>
        writer.Begin(Backend.Authentication).Int32(AuthenticationCode.Md5Password).Bytes(salt).End();

    /// <summary>AuthenticationSASL with one mechanism.</summary>
    public static void AuthenticationSasl(this MessageWriter writer, ReadOnlySpan<byte> mechanism) =>
        writer.Begin(Backend.Authentication).Int32(AuthenticationCode.Sasl).CString(mechanism).Byte(0).End();

    /// <summary>AuthenticationSASL with two mechanisms, the better one first.</summary>
    public static void AuthenticationSasl(this MessageWriter writer, ReadOnlySpan<byte> better, ReadOnlySpan<byte> other) =>
        writer.Begin(Backend.Authentication).Int32(AuthenticationCode.Sasl).CString(better).CString(other).Byte(0).End();

    /// <summary>AuthenticationSASLContinue.</summary>
    public static void AuthenticationSaslContinue(this MessageWriter writer, ReadOnlySpan<byte> data) =>
        writer.Begin(Backend.Authentication).Int32(AuthenticationCode.SaslContinue).Bytes(data).End();

    /// <summary>AuthenticationSASLFinal.</summary>
    public static void AuthenticationSaslFinal(this MessageWriter writer, ReadOnlySpan<byte> data) =>
        writer.Begin(Backend.Authentication).Int32(AuthenticationCode.SaslFinal).Bytes(data).End();

    /// <summary>BackendKeyData.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="processId">What the client believes to be the backend's process id.</param>
    /// <param name="key">Four bytes under protocol 3.0; 4 to 256 under 3.2.</param>
    public static void BackendKeyData(this MessageWriter writer, int processId, ReadOnlySpan<byte> key) =>
        writer.Begin(Backend.BackendKeyData).Int32(processId).Bytes(key).End();

    /// <summary>ParameterStatus.</summary>
    public static void ParameterStatus(this MessageWriter writer, ReadOnlySpan<char> name, ReadOnlySpan<char> value) =>
        writer.Begin(Backend.ParameterStatus).CString(name).CString(value).End();

    /// <summary>ParameterStatus from bytes as a server sent them.</summary>
    public static void ParameterStatus(this MessageWriter writer, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) =>
        writer.Begin(Backend.ParameterStatus).CString(name).CString(value).End();

    /// <summary>ReadyForQuery with a byte of <see cref="TransactionStatus"/>.</summary>
    public static void ReadyForQuery(this MessageWriter writer, byte transactionStatus) =>
        writer.Begin(Backend.ReadyForQuery).Byte(transactionStatus).End();

    /// <summary>
    /// NegotiateProtocolVersion: sent before authentication when the client asked for more than it gets.
    /// </summary>
    /// <param name="writer">Where to.</param>
    /// <param name="minor">
    /// The minor version the client gets. The documentation speaks of the minor version only, but PostgreSQL sends the
    /// whole version number in this field and libpq expects it so.
    /// </param>
    /// <param name="unknownOptions">The <c>_pq_.</c> options that are not understood.</param>
    public static void NegotiateProtocolVersion(this MessageWriter writer, int minor, IReadOnlyList<string> unknownOptions)
    {
        writer.Begin(Backend.NegotiateProtocolVersion).Int32(ProtocolCode.Version30 | minor).Int32(unknownOptions.Count);
        foreach (var option in unknownOptions) writer.CString(option);
        writer.End();
    }

    /// <summary>RowDescription.</summary>
    public static void RowDescription(this MessageWriter writer, ReadOnlySpan<ColumnDescription> columns)
    {
        writer.Begin(Backend.RowDescription).Int16((short)columns.Length);
        foreach (ref readonly var column in columns)
        {
            // Table oid and column number are 0: not a column of a table. Type modifier -1: none.
            writer.CString(column.Name).Int32(0).Int16(0).Int32(column.TypeOid).Int16(column.TypeSize).Int32(-1).Int16(column.Format);
        }

        writer.End();
    }

    /// <summary>Begins a DataRow; follow it with exactly that many cells and <see cref="MessageWriter.End"/>.</summary>
    public static MessageWriter BeginDataRow(this MessageWriter writer, int columns) =>
        writer.Begin(Backend.DataRow).Int16((short)columns);

    /// <summary>A cell of a row in text form, or NULL.</summary>
    public static MessageWriter Cell(this MessageWriter writer, string? value) =>
        value is null ? writer.Int32(-1) : writer.Int32(System.Text.Encoding.UTF8.GetByteCount(value)).Text(value);

    /// <summary>A cell of a row as bytes, in text or binary form.</summary>
    public static MessageWriter Cell(this MessageWriter writer, ReadOnlySpan<byte> value) =>
        writer.Int32(value.Length).Bytes(value);

    /// <summary>A whole DataRow in text form.</summary>
    public static void DataRow(this MessageWriter writer, params ReadOnlySpan<string?> cells)
    {
        writer.BeginDataRow(cells.Length);
        foreach (var cell in cells) writer.Cell(cell);
        writer.End();
    }

    /// <summary>CommandComplete.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="tag">For example <c>SELECT 3</c> or <c>SHOW</c>.</param>
    public static void CommandComplete(this MessageWriter writer, ReadOnlySpan<char> tag) =>
        writer.Begin(Backend.CommandComplete).CString(tag).End();

    /// <summary>EmptyQueryResponse.</summary>
    public static void EmptyQueryResponse(this MessageWriter writer) => writer.Begin(Backend.EmptyQueryResponse).End();

    /// <summary>ParseComplete.</summary>
    public static void ParseComplete(this MessageWriter writer) => writer.Begin(Backend.ParseComplete).End();

    /// <summary>BindComplete.</summary>
    public static void BindComplete(this MessageWriter writer) => writer.Begin(Backend.BindComplete).End();

    /// <summary>CloseComplete.</summary>
    public static void CloseComplete(this MessageWriter writer) => writer.Begin(Backend.CloseComplete).End();

    /// <summary>NoData.</summary>
    public static void NoData(this MessageWriter writer) => writer.Begin(Backend.NoData).End();

    /// <summary>PortalSuspended.</summary>
    public static void PortalSuspended(this MessageWriter writer) => writer.Begin(Backend.PortalSuspended).End();

    /// <summary>ParameterDescription with the parameters' type oids.</summary>
    public static void ParameterDescription(this MessageWriter writer, ReadOnlySpan<int> typeOids)
    {
        writer.Begin(Backend.ParameterDescription).Int16((short)typeOids.Length);
        foreach (var oid in typeOids) writer.Int32(oid);
        writer.End();
    }
}
