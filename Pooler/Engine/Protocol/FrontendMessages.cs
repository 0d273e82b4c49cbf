namespace Pooler.Engine.Protocol;

/// <summary>Messages the pooler sends to servers, as a client would.</summary>
public static class FrontendMessages
{
    /// <summary>SSLRequest.</summary>
    public static void SslRequest(this MessageWriter writer) => writer.BeginUntyped().Int32(ProtocolCode.SslRequest).End();

    /// <summary>CancelRequest.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="processId">From the server's BackendKeyData.</param>
    /// <param name="key">From the server's BackendKeyData, of any length.</param>
    public static void CancelRequest(this MessageWriter writer, int processId, ReadOnlySpan<byte> key) =>
        writer.BeginUntyped().Int32(ProtocolCode.CancelRequest).Int32(processId).Bytes(key).End();

    /// <summary>StartupMessage of protocol 3.0.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="user">User to log in as.</param>
    /// <param name="database">Database on the server.</param>
    /// <param name="parameters">Further parameters: application_name, client_encoding, options …</param>
    public static void StartupMessage(this MessageWriter writer, string user, string database, IEnumerable<KeyValuePair<string, string>>? parameters = null) =>
        writer.StartupMessage(ProtocolCode.Version30, user, database, parameters);

    /// <summary>StartupMessage of a chosen protocol version.</summary>
    public static void StartupMessage(this MessageWriter writer, int protocolCode, string user, string database, IEnumerable<KeyValuePair<string, string>>? parameters)
    {
        writer.BeginUntyped().Int32(protocolCode).CString("user"u8).CString(user).CString("database"u8).CString(database);
        foreach (var (name, value) in parameters ?? []) writer.CString(name).CString(value);
        writer.Byte(0).End();
    }

    /// <summary>PasswordMessage.</summary>
    public static void PasswordMessage(this MessageWriter writer, ReadOnlySpan<byte> password) =>
        writer.Begin(Frontend.Password).CString(password).End();

    /// <summary>SASLInitialResponse.</summary>
    public static void SaslInitialResponse(this MessageWriter writer, ReadOnlySpan<byte> mechanism, ReadOnlySpan<byte> data) =>
        writer.Begin(Frontend.Password).CString(mechanism).Int32(data.Length).Bytes(data).End();

    /// <summary>SASLResponse.</summary>
    public static void SaslResponse(this MessageWriter writer, ReadOnlySpan<byte> data) =>
        writer.Begin(Frontend.Password).Bytes(data).End();

    /// <summary>Query.</summary>
    public static void Query(this MessageWriter writer, ReadOnlySpan<char> sql) =>
        writer.Begin(Frontend.Query).CString(sql).End();

    /// <summary>Query from UTF-8 bytes.</summary>
    public static void Query(this MessageWriter writer, ReadOnlySpan<byte> sql) =>
        writer.Begin(Frontend.Query).CString(sql).End();

    /// <summary>Parse.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="statement">Name of the statement; empty for the unnamed one.</param>
    /// <param name="sql">The query.</param>
    /// <param name="parameterTypes">Type oids; 0 leaves one to the server.</param>
    public static void Parse(this MessageWriter writer, ReadOnlySpan<char> statement, ReadOnlySpan<char> sql, params ReadOnlySpan<int> parameterTypes)
    {
        writer.Begin(Frontend.Parse).CString(statement).CString(sql).Int16((short)parameterTypes.Length);
        foreach (var oid in parameterTypes) writer.Int32(oid);
        writer.End();
    }

    /// <summary>Bind with parameters and results in text form.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="portal">Name of the portal; empty for the unnamed one.</param>
    /// <param name="statement">Name of the statement.</param>
    /// <param name="parameters">Values; null is NULL.</param>
    public static void Bind(this MessageWriter writer, ReadOnlySpan<char> portal, ReadOnlySpan<char> statement, params ReadOnlySpan<string?> parameters)
    {
        // No format codes: text for all parameters and all results.
        writer.Begin(Frontend.Bind).CString(portal).CString(statement).Int16(0).Int16((short)parameters.Length);
        foreach (var parameter in parameters) writer.Cell(parameter);
        writer.Int16(0).End();
    }

    /// <summary>Describe a statement.</summary>
    public static void DescribeStatement(this MessageWriter writer, ReadOnlySpan<char> statement) =>
        writer.Begin(Frontend.Describe).Byte((byte)'S').CString(statement).End();

    /// <summary>Describe a portal.</summary>
    public static void DescribePortal(this MessageWriter writer, ReadOnlySpan<char> portal) =>
        writer.Begin(Frontend.Describe).Byte((byte)'P').CString(portal).End();

    /// <summary>Execute a portal.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="portal">Name of the portal.</param>
    /// <param name="maxRows">0 for all.</param>
    public static void Execute(this MessageWriter writer, ReadOnlySpan<char> portal, int maxRows = 0) =>
        writer.Begin(Frontend.Execute).CString(portal).Int32(maxRows).End();

    /// <summary>Close a statement.</summary>
    public static void CloseStatement(this MessageWriter writer, ReadOnlySpan<char> statement) =>
        writer.Begin(Frontend.Close).Byte((byte)'S').CString(statement).End();

    /// <summary>Close a statement whose name is at hand as bytes.</summary>
    public static void CloseStatement(this MessageWriter writer, ReadOnlySpan<byte> statement) =>
        writer.Begin(Frontend.Close).Byte((byte)'S').CString(statement).End();

    /// <summary>Close a portal.</summary>
    public static void ClosePortal(this MessageWriter writer, ReadOnlySpan<char> portal) =>
        writer.Begin(Frontend.Close).Byte((byte)'P').CString(portal).End();

    /// <summary>Sync.</summary>
    public static void Sync(this MessageWriter writer) => writer.Begin(Frontend.Sync).End();

    /// <summary>Flush.</summary>
    public static void Flush(this MessageWriter writer) => writer.Begin(Frontend.Flush).End();

    /// <summary>Terminate.</summary>
    public static void Terminate(this MessageWriter writer) => writer.Begin(Frontend.Terminate).End();
}
