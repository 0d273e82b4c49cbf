using System.Text;
using System.Text.Unicode;

namespace Pooler.Engine.Protocol;

/// <summary>What a client's first packet asks for.</summary>
public enum StartupKind
{
    /// <summary>Nothing that can be granted: answer <see cref="StartupPacket.Error"/> and close.</summary>
    Invalid,

    /// <summary>TLS. Answer with one byte, then expect another first packet.</summary>
    SslRequest,

    /// <summary>GSSAPI encryption. Answer with one byte, then expect another first packet.</summary>
    GssEncryptionRequest,

    /// <summary>Cancel what another connection is doing. No answer; close.</summary>
    CancelRequest,

    /// <summary>A session.</summary>
    Startup,
}

/// <summary>Whether a session is to stream WAL instead of running queries.</summary>
public enum ReplicationMode
{
    /// <summary>An ordinary session.</summary>
    None,

    /// <summary>Physical replication.</summary>
    Physical,

    /// <summary>Logical replication: <c>replication=database</c>.</summary>
    Logical,
}

/// <summary>How replication modes are written.</summary>
internal static class ReplicationModes
{
    /// <summary>The value of the startup parameter <c>replication</c>; also the word of PgBouncer's log.</summary>
    public static string StartupValue(this ReplicationMode mode) => mode switch
    {
        ReplicationMode.Physical => "yes",
        ReplicationMode.Logical => "database",
        _ => "no",
    };
}

/// <summary>
/// A client's first packet, parsed and checked. PostgreSQL documentation, "Start-up" and "Message Formats".
/// </summary>
public sealed class StartupPacket
{
    /// <summary>PostgreSQL's limit for the body (MAX_STARTUP_PACKET_LENGTH), in bytes.</summary>
    public const int MaxBodyLength = 10_000;

    /// <summary>Newest minor version of protocol 3 that clients get.</summary>
    public const int NewestMinor = 2;

    private const string NoTerminator = "invalid startup packet layout: expected terminator as last byte";

    // Of PostgreSQL 18: 3.2 allows a server to use keys up to this long.
    private const int MaxCancelKeyLength = 256;

    private StartupPacket(StartupKind kind) => Kind = kind;

    /// <summary>Whether cancel keys may have this many bytes, the process id not counted.</summary>
    public static bool IsCancelKeyLength(int length) => length is >= 4 and <= MaxCancelKeyLength;

    /// <summary>What is asked for; it says which of the other members have a value.</summary>
    public StartupKind Kind { get; }

    /// <summary>Why not, when <see cref="Kind"/> is <see cref="StartupKind.Invalid"/>.</summary>
    public PgError? Error { get; private init; }

    /// <summary>The process id in a cancel request.</summary>
    public int CancelProcessId { get; private init; }

    /// <summary>The key in a cancel request: 4 to 256 bytes.</summary>
    public ReadOnlyMemory<byte> CancelKey { get; private init; }

    /// <summary>Minor version of protocol 3 that the client asked for.</summary>
    public int RequestedMinor { get; private init; }

    /// <summary>Minor version the client gets.</summary>
    public int Minor => Math.Min(RequestedMinor, NewestMinor);

    /// <summary>Names of <c>_pq_.</c> protocol options asked for: none is supported.</summary>
    public IReadOnlyList<string> ProtocolOptions { get; private init; } = [];

    /// <summary>Whether the client must be told (<see cref="BackendMessages.NegotiateProtocolVersion"/>) that it gets less than it asked for.</summary>
    public bool NeedsNegotiation => RequestedMinor > NewestMinor || ProtocolOptions.Count > 0;

    /// <summary>The user, never empty in a <see cref="StartupKind.Startup"/>.</summary>
    public string User { get; private init; } = "";

    /// <summary>The database; the user's name when the client gave none.</summary>
    public string Database { get; private init; } = "";

    /// <summary>Whether this is a replication session.</summary>
    public ReplicationMode Replication { get; private init; }

    /// <summary>
    /// The other startup parameters (application_name, client_encoding, DateStyle …) in the order they came. They win
    /// over <see cref="OptionSettings"/>, as on a server.
    /// </summary>
    public IReadOnlyList<KeyValuePair<string, string>> Parameters { get; private init; } = [];

    /// <summary>The <c>options</c> parameter as it came.</summary>
    public string? Options { get; private init; }

    /// <summary>
    /// Settings given through <c>options</c>, in order, the last of a name wins. Empty for replication sessions, whose
    /// options go to their own server as they are.
    /// </summary>
    public IReadOnlyList<KeyValuePair<string, string>> OptionSettings { get; private init; } = [];

    /// <summary>
    /// Checks the length field of a first packet (it counts itself), before any of the body is waited for.
    /// </summary>
    /// <returns>Null when it is acceptable.</returns>
    public static PgError? CheckLength(int length) =>
        length is < 8 or > MaxBodyLength + 4 ? Violation("the length of the startup packet is out of range") : null;

    /// <summary>Parses the body: what follows the length field. Never throws.</summary>
    public static StartupPacket Parse(ReadOnlySpan<byte> body)
    {
        if (body.Length > MaxBodyLength) return Invalid("the length of the startup packet is out of range");
        var reader = new MessageReader(body);
        if (!reader.TryReadInt32(out var code)) return Invalid("the startup packet is too short");

        switch (code)
        {
            case ProtocolCode.SslRequest:
                return reader.AtEnd ? new(StartupKind.SslRequest) : Invalid("the SSL request has the wrong length");
            case ProtocolCode.GssEncryptionRequest:
                return reader.AtEnd ? new(StartupKind.GssEncryptionRequest) : Invalid("the GSSAPI encryption request has the wrong length");
            case ProtocolCode.CancelRequest:
                if (!reader.TryReadInt32(out var processId) || !IsCancelKeyLength(reader.Rest.Length))
                    return Invalid("the cancel request has the wrong length");
                return new(StartupKind.CancelRequest) { CancelProcessId = processId, CancelKey = reader.Rest.ToArray() };
        }

        var (major, minor) = ((code >> 16) & 0xffff, code & 0xffff);
        if (major == 2) return Invalid("old V2 protocol not supported", SqlState.FeatureNotSupported);
        if (major != 3)
        {
            return new(StartupKind.Invalid)
            {
                Error = PgError.Fatal(
                    SqlState.FeatureNotSupported,
                    $"frontend protocol {major}.{minor} is not supported",
                    $"The pooler speaks protocol 3.0 to 3.{NewestMinor}."),
            };
        }

        return ParseStartup(reader, minor);
    }

    private static StartupPacket ParseStartup(MessageReader reader, int minor)
    {
        string? user = null, database = null, replication = null, options = null;
        List<KeyValuePair<string, string>> parameters = [];
        List<string> protocolOptions = [];

        while (true)
        {
            if (!reader.TryReadCString(out var nameBytes)) return Invalid(NoTerminator);
            if (nameBytes.IsEmpty) break;
            if (!reader.TryReadCString(out var valueBytes)) return Invalid(NoTerminator);
            if (!TryDecode(nameBytes, out var name) || !TryDecode(valueBytes, out var value))
                return Invalid("a startup parameter is not valid UTF-8");

            // Two answers to "who are you" would leave it to chance which of them is checked.
            var repeated = false;
            switch (name)
            {
                case "user": repeated = Repeats(ref user, value); break;
                case "database": repeated = Repeats(ref database, value); break;
                case "replication": repeated = Repeats(ref replication, value); break;
                case "options": repeated = Repeats(ref options, value); break;
                case var _ when name.StartsWith("_pq_.", StringComparison.Ordinal): protocolOptions.Add(name); break;
                default: Set(parameters, name, value); break;
            }

            if (repeated) return Invalid($"the startup parameter \"{name}\" is given twice");
        }

        if (!reader.AtEnd) return Invalid(NoTerminator);
        if (string.IsNullOrEmpty(user))
        {
            return new(StartupKind.Invalid)
            {
                Error = PgError.Fatal(SqlState.InvalidAuthorization, "no username supplied"),
            };
        }

        if (!TryParseReplication(replication, out var replicationMode))
        {
            return new(StartupKind.Invalid)
            {
                Error = PgError.Fatal(
                    SqlState.InvalidParameterValue,
                    $"invalid value for startup parameter \"replication\": \"{replication}\"",
                    "Valid values are false, true and database."),
            };
        }

        List<KeyValuePair<string, string>> optionSettings = [];
        if (options is not null && replicationMode == ReplicationMode.None && StartupOptions.Parse(options, optionSettings) is { } error)
            return new(StartupKind.Invalid) { Error = error };

        return new(StartupKind.Startup)
        {
            RequestedMinor = minor,
            User = user,
            Database = string.IsNullOrEmpty(database) ? user : database,
            Replication = replicationMode,
            Parameters = parameters,
            Options = options,
            OptionSettings = optionSettings,
            ProtocolOptions = protocolOptions,
        };
    }

    private static bool Repeats(ref string? field, string value)
    {
        if (field is not null) return true;
        field = value;
        return false;
    }

    // Setting names know no case, and as on a server the last value of a name wins.
    private static void Set(List<KeyValuePair<string, string>> parameters, string name, string value)
    {
        parameters.RemoveAll(p => p.Key.Equals(name, StringComparison.OrdinalIgnoreCase));
        parameters.Add(new(name, value));
    }

    private static bool TryDecode(ReadOnlySpan<byte> bytes, out string text)
    {
        text = "";
        if (!Utf8.IsValid(bytes)) return false;
        text = Encoding.UTF8.GetString(bytes);
        return true;
    }

    // The words of a PostgreSQL boolean and their unambiguous abbreviations, and "database".
    private static bool TryParseReplication(string? value, out ReplicationMode mode)
    {
        mode = ReplicationMode.None;
        if (value is null) return true;
        switch (value.ToLowerInvariant())
        {
            case "database":
                mode = ReplicationMode.Logical;
                return true;
            case "1" or "on" or "t" or "tr" or "tru" or "true" or "y" or "ye" or "yes":
                mode = ReplicationMode.Physical;
                return true;
            case "0" or "of" or "off" or "f" or "fa" or "fal" or "fals" or "false" or "n" or "no":
                return true;
            default:
                return false;
        }
    }

    private static StartupPacket Invalid(string message, string sqlState = SqlState.ProtocolViolation) =>
        new(StartupKind.Invalid) { Error = PgError.Fatal(sqlState, message) };

    private static PgError Violation(string message) => PgError.Fatal(SqlState.ProtocolViolation, message);
}
