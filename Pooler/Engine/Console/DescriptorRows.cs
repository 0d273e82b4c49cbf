using System.Buffers.Binary;
using System.Net;
using Pooler.Engine.Auth;
using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;

namespace Pooler.Engine.Console;

/// <summary>
/// SHOW FDS: the sockets of the process. While it is suspended they themselves come with the rows, for who runs it: this
/// is how a PgBouncer takes over (its option -R). Our own processes have another way, which loses nothing.
/// </summary>
internal sealed class DescriptorRows(AdminConsole console)
{
    public const string TableName = "fds";

    private EngineCore Core => console.Core;

    /// <summary>Without secrets: these are for who takes over only.</summary>
    public IEnumerable<object?[]> Rows() => All(withSecrets: false).Select(r => r.Cells);

    /// <summary>The rows with the descriptors they stand for. To be used while nobody is served.</summary>
    public (object?[] Cells, int Descriptor)[] WithSecrets() => [.. All(withSecrets: true)];

    private IEnumerable<(object?[] Cells, int Descriptor)> All(bool withSecrets)
    {
        var (endPoints, descriptors) = console.Engine.ListeningDescriptors();
        foreach (var (endPoint, descriptor) in endPoints.Zip(descriptors))
            yield return (Row(descriptor, "pooler", null, null, Describe(endPoint), 0, 0, null, null), descriptor);
        foreach (var client in Core.Clients)
        {
            // What one side is in the middle of cannot be told in these columns: they are for connections at rest.
            if (!client.CanBeHandedOver || (withSecrets && !IsAtRest(client))) continue;
            var link = client.Server?.Connection!.Descriptor ?? 0;
            var descriptor = client.Connection.Descriptor;
            yield return (Row(
                descriptor, "client", client.Identity.LoginUser.Name, client.Pool, (client.Identity.Address, client.Identity.Port),
                KeyOf(client.Identity.CancelKey.ToArray()), link, client.Parameters, withSecrets ? client.Pool.Credentials : null), descriptor);
        }
        foreach (var server in Core.Servers)
        {
            if (!server.CanBeHandedOver || (withSecrets && server.Client is { } linked && !(linked.CanBeHandedOver && IsAtRest(linked)))) continue;
            var key = new byte[8];
            BinaryPrimitives.WriteInt32BigEndian(key, server.BackendPid);
            server.BackendKey.AsSpan(0, Math.Min(4, server.BackendKey.Length)).CopyTo(key.AsSpan(4));
            var descriptor = server.Connection!.Descriptor;
            yield return (Row(
                descriptor, "server", server.Pool.User.Name, server.Pool, Describe(server.Target!), KeyOf(key),
                server.Client?.Connection.Descriptor ?? 0, server.Parameters, withSecrets ? server.Pool.Credentials : null), descriptor);
        }
    }

    private static bool IsAtRest(ClientSession client) =>
        client is { Connection: { HasKeptInput: false, HasPendingOutput: false }, Server: null or { Connection: { HasKeptInput: false, HasPendingOutput: false } } };

    private static object?[] Row(
        int descriptor, string task, string? user, Pool? pool, (string Address, int Port) place, long cancel, int link,
        SessionParameters? parameters, ServerCredentials? credentials) =>
    [
        descriptor, task, user, pool?.Database.Name, place.Address, place.Port, cancel, link,
        parameters?["client_encoding"], parameters?["standard_conforming_strings"], parameters?["DateStyle"], parameters?["TimeZone"],
        pool is { User.Settings.IsKnown: false } ? credentials?.Secret?.Text : null,
        credentials?.ScramKeys?.ClientKey, credentials?.ScramKeys?.ServerKey,
    ];

    private static long KeyOf(byte[] key) => BinaryPrimitives.ReadInt64BigEndian(key);

    private static (string Address, int Port) Describe(EndPoint endPoint) =>
        endPoint is IPEndPoint ip ? (ip.Address.ToString(), ip.Port) : ("unix", Loops.UnixAddress.PortOf(endPoint));
}
