namespace Pooler.Engine.Protocol;

/// <summary>Type bytes of the messages that clients send. PostgreSQL documentation, "Message Formats".</summary>
public static class Frontend
{
    /// <summary>Bind: parameters to a prepared statement.</summary>
    public const byte Bind = (byte)'B';

    /// <summary>Close: forget a statement or portal.</summary>
    public const byte Close = (byte)'C';

    /// <summary>CopyData.</summary>
    public const byte CopyData = (byte)'d';

    /// <summary>CopyDone.</summary>
    public const byte CopyDone = (byte)'c';

    /// <summary>CopyFail.</summary>
    public const byte CopyFail = (byte)'f';

    /// <summary>Describe: ask for a statement's or portal's columns.</summary>
    public const byte Describe = (byte)'D';

    /// <summary>Execute a portal.</summary>
    public const byte Execute = (byte)'E';

    /// <summary>Flush: deliver pending answers without ending the batch.</summary>
    public const byte Flush = (byte)'H';

    /// <summary>FunctionCall: the legacy fast path.</summary>
    public const byte FunctionCall = (byte)'F';

    /// <summary>Parse: prepare a statement.</summary>
    public const byte Parse = (byte)'P';

    /// <summary>PasswordMessage, SASLInitialResponse, SASLResponse and GSSResponse: one type, told apart by context.</summary>
    public const byte Password = (byte)'p';

    /// <summary>Query: the simple protocol.</summary>
    public const byte Query = (byte)'Q';

    /// <summary>Sync: end of a batch.</summary>
    public const byte Sync = (byte)'S';

    /// <summary>Terminate: goodbye.</summary>
    public const byte Terminate = (byte)'X';
}

/// <summary>Type bytes of the messages that servers send. PostgreSQL documentation, "Message Formats".</summary>
public static class Backend
{
    /// <summary>Authentication requests of all kinds; see <see cref="AuthenticationCode"/>.</summary>
    public const byte Authentication = (byte)'R';

    /// <summary>BackendKeyData: what a cancel request must present.</summary>
    public const byte BackendKeyData = (byte)'K';

    /// <summary>BindComplete.</summary>
    public const byte BindComplete = (byte)'2';

    /// <summary>CloseComplete.</summary>
    public const byte CloseComplete = (byte)'3';

    /// <summary>CommandComplete, with its tag.</summary>
    public const byte CommandComplete = (byte)'C';

    /// <summary>CopyData.</summary>
    public const byte CopyData = (byte)'d';

    /// <summary>CopyDone.</summary>
    public const byte CopyDone = (byte)'c';

    /// <summary>CopyInResponse: the server now expects the client's data.</summary>
    public const byte CopyInResponse = (byte)'G';

    /// <summary>CopyOutResponse.</summary>
    public const byte CopyOutResponse = (byte)'H';

    /// <summary>CopyBothResponse: streaming replication.</summary>
    public const byte CopyBothResponse = (byte)'W';

    /// <summary>DataRow.</summary>
    public const byte DataRow = (byte)'D';

    /// <summary>EmptyQueryResponse.</summary>
    public const byte EmptyQueryResponse = (byte)'I';

    /// <summary>ErrorResponse.</summary>
    public const byte ErrorResponse = (byte)'E';

    /// <summary>FunctionCallResponse.</summary>
    public const byte FunctionCallResponse = (byte)'V';

    /// <summary>NegotiateProtocolVersion.</summary>
    public const byte NegotiateProtocolVersion = (byte)'v';

    /// <summary>NoData: the statement returns no rows.</summary>
    public const byte NoData = (byte)'n';

    /// <summary>NoticeResponse.</summary>
    public const byte NoticeResponse = (byte)'N';

    /// <summary>NotificationResponse: a NOTIFY arrived.</summary>
    public const byte NotificationResponse = (byte)'A';

    /// <summary>ParameterDescription.</summary>
    public const byte ParameterDescription = (byte)'t';

    /// <summary>ParameterStatus: a reported setting and its value.</summary>
    public const byte ParameterStatus = (byte)'S';

    /// <summary>ParseComplete.</summary>
    public const byte ParseComplete = (byte)'1';

    /// <summary>PortalSuspended: the row limit of Execute was reached.</summary>
    public const byte PortalSuspended = (byte)'s';

    /// <summary>ReadyForQuery, with the transaction status.</summary>
    public const byte ReadyForQuery = (byte)'Z';

    /// <summary>RowDescription.</summary>
    public const byte RowDescription = (byte)'T';
}

/// <summary>The first field of an authentication message ('R').</summary>
public static class AuthenticationCode
{
    /// <summary>The login is complete.</summary>
    public const int Ok = 0;

    /// <summary>Kerberos V5, gone since PostgreSQL 9.3.</summary>
    public const int KerberosV5 = 2;

    /// <summary>The password as it is.</summary>
    public const int CleartextPassword = 3;

    /// <summary>MD5 challenge with four bytes of salt.</summary>
    public const int Md5Password = 5;

    /// <summary>GSSAPI.</summary>
    public const int Gss = 7;

    /// <summary>Continuation of GSSAPI or SSPI.</summary>
    public const int GssContinue = 8;

    /// <summary>SSPI (Windows).</summary>
    public const int Sspi = 9;

    /// <summary>SASL, with the list of mechanisms.</summary>
    public const int Sasl = 10;

    /// <summary>SASL challenge.</summary>
    public const int SaslContinue = 11;

    /// <summary>SASL outcome.</summary>
    public const int SaslFinal = 12;
}

/// <summary>The status byte of ReadyForQuery.</summary>
public static class TransactionStatus
{
    /// <summary>Not in a transaction.</summary>
    public const byte Idle = (byte)'I';

    /// <summary>In a transaction.</summary>
    public const byte InTransaction = (byte)'T';

    /// <summary>In a failed transaction: only ROLLBACK helps.</summary>
    public const byte Failed = (byte)'E';
}

/// <summary>The 32-bit code that opens every untyped first packet of a client.</summary>
public static class ProtocolCode
{
    /// <summary>StartupMessage of protocol 3.0.</summary>
    public const int Version30 = 3 << 16;

    /// <summary>StartupMessage of protocol 3.2 (PostgreSQL 18: cancel keys of 4 to 256 bytes).</summary>
    public const int Version32 = (3 << 16) | 2;

    /// <summary>CancelRequest.</summary>
    public const int CancelRequest = 80877102;

    /// <summary>SSLRequest.</summary>
    public const int SslRequest = 80877103;

    /// <summary>GSSENCRequest.</summary>
    public const int GssEncryptionRequest = 80877104;
}

/// <summary>SQLSTATEs the pooler itself raises. PostgreSQL documentation, appendix A.</summary>
public static class SqlState
{
    /// <summary>08004: the server rejected the connection.</summary>
    public const string ConnectionRejected = "08004";

    /// <summary>08006: the connection broke.</summary>
    public const string ConnectionFailure = "08006";

    /// <summary>08P01: a message that the protocol does not allow.</summary>
    public const string ProtocolViolation = "08P01";

    /// <summary>0A000: not supported.</summary>
    public const string FeatureNotSupported = "0A000";

    /// <summary>22023: a value out of its domain.</summary>
    public const string InvalidParameterValue = "22023";

    /// <summary>25006: a write where none is allowed.</summary>
    public const string ReadOnlyTransaction = "25006";

    /// <summary>28000: who is that?</summary>
    public const string InvalidAuthorization = "28000";

    /// <summary>28P01: wrong password.</summary>
    public const string InvalidPassword = "28P01";

    /// <summary>3D000: no such database.</summary>
    public const string InvalidCatalogName = "3D000";

    /// <summary>53300: too many connections.</summary>
    public const string TooManyConnections = "53300";

    /// <summary>54000: more than the program can take.</summary>
    public const string LimitExceeded = "54000";

    /// <summary>57P01: the administrator ended the connection.</summary>
    public const string AdminShutdown = "57P01";

    /// <summary>57P03: cannot connect now.</summary>
    public const string CannotConnectNow = "57P03";
}
