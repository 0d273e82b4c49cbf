using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Pooler.Engine.Telemetry;

/// <summary>
/// How log lines name a connection: <c>C-0xc00000001: database/user@address:port</c>, as PgBouncer does. It prints the
/// address of a structure in memory; here the number stands for the connection's id, and is what column ptr of SHOW
/// CLIENTS and SHOW SERVERS tells.
/// </summary>
/// <param name="IsServer">A connection to PostgreSQL rather than a client's.</param>
/// <param name="Id">Its number.</param>
/// <param name="Database">The pool's database; null as long as there is no pool.</param>
/// <param name="User">The user; null until it is known.</param>
/// <param name="Address">An IP address, or unix.</param>
/// <param name="Port">Its port.</param>
public readonly record struct ConnectionName(bool IsServer, long Id, string? Database, string? User, string Address, int Port) : ILogFields
{
    // Clients and servers are numbered apart from each other; as addresses they must differ.
    private const long ClientPointers = 0xc_0000_0000;
    private const long ServerPointers = 0x5_0000_0000;

    /// <summary>The process at the other end of a Unix socket; 0 when there is none or nobody knows.</summary>
    public int Process { get; init; }

    /// <summary>As in column ptr.</summary>
    public string Pointer => PointerOf(IsServer, Id);

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, object>> ForJson()
    {
        yield return new("connection", $"{(IsServer ? 'S' : 'C')}-{Pointer}");
        if (Database is not null) yield return new("database", Database);
        if (User is not null) yield return new("user", User);
        yield return new("address", Address);
        yield return new("port", Port);
    }

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, object>> AsAttributes()
    {
        yield return new(IsServer ? "pooler.server.id" : "pooler.client.id", Pointer);
        if (Database is not null) yield return new("db.namespace", Database);
        if (User is not null) yield return new("user.name", User);
        yield return new(IsServer ? "server.address" : "client.address", Address);
        yield return new(IsServer ? "server.port" : "client.port", Port);
    }

    internal static string PointerOf(bool isServer, long id) =>
        string.Create(CultureInfo.InvariantCulture, $"0x{(isServer ? ServerPointers : ClientPointers) + id:x}");

    /// <inheritdoc/>
    public override string ToString()
    {
        var process = Process > 0 ? string.Create(CultureInfo.InvariantCulture, $"({Process})") : "";

        // Brackets, or nobody could tell the port from the address.
        var (open, close) = IPAddress.TryParse(Address, out var ip) && ip.AddressFamily == AddressFamily.InterNetworkV6 ? ("[", "]") : ("", "");
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{(IsServer ? 'S' : 'C')}-{Pointer}: {Database ?? "(nodb)"}/{User ?? "(nouser)"}@{open}{Address}{process}{close}:{Port}");
    }
}
