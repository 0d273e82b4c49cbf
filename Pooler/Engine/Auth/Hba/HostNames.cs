using System.Net;
using System.Net.Sockets;

namespace Pooler.Engine.Auth.Hba;

/// <summary>Names of addresses and addresses of names. The tasks never fault.</summary>
internal interface IHostNames
{
    /// <summary>The name that the address has; null when it has none.</summary>
    Task<string?> NameOfAsync(IPAddress address);

    /// <summary>The addresses that the name has.</summary>
    Task<IReadOnlyList<IPAddress>> AddressesOfAsync(string name);
}

/// <summary>As the operating system resolves them.</summary>
internal sealed class SystemHostNames : IHostNames
{
    // A lookup occupies a thread of the pool for as long as the name server takes, and logins with SCRAM want theirs.
    private readonly SemaphoreSlim _turns = new(4);

    public static SystemHostNames Instance { get; } = new();

    public async Task<string?> NameOfAsync(IPAddress address)
    {
        await _turns.WaitAsync().ConfigureAwait(false);
        try
        {
            var name = (await Dns.GetHostEntryAsync(address).ConfigureAwait(false)).HostName;
            // Without a name some systems answer with the address itself.
            return IPAddress.TryParse(name, out _) ? null : name;
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            return null;
        }
        finally
        {
            _turns.Release();
        }
    }

    public async Task<IReadOnlyList<IPAddress>> AddressesOfAsync(string name)
    {
        await _turns.WaitAsync().ConfigureAwait(false);
        try
        {
            return await Dns.GetHostAddressesAsync(name).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            return [];
        }
        finally
        {
            _turns.Release();
        }
    }
}
