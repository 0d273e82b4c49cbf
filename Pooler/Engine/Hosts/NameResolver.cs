using System.Net;
using System.Net.Sockets;

namespace Pooler.Engine.Hosts;

/// <summary>Finds the addresses of names. Off the loops: it may take its time.</summary>
internal interface INameResolver
{
    /// <summary>The addresses of a name; at least one.</summary>
    /// <exception cref="NameLookupException">There are none, or they could not be asked for.</exception>
    Task<IReadOnlyList<IPAddress>> ResolveAsync(string name);

    /// <summary>The serial in the SOA record of a zone; null when it cannot be had.</summary>
    Task<uint?> ReadSerialAsync(string zone);
}

/// <summary>A lookup failed.</summary>
/// <param name="message">Why.</param>
/// <param name="isTemporary">Nobody could say whether the name exists: addresses known from before stay good.</param>
/// <param name="inner">What happened.</param>
internal sealed class NameLookupException(string message, bool isTemporary, Exception? inner = null) : Exception(message, inner)
{
    public bool IsTemporary { get; } = isTemporary;
}

/// <summary>
/// The operating system's resolver (getaddrinfo), with all that is behind it. It knows no zones: these are asked at the
/// name servers of /etc/resolv.conf.
/// </summary>
internal sealed class SystemResolver : INameResolver
{
    private NameServerResolver? _forZones;

    public async Task<IReadOnlyList<IPAddress>> ResolveAsync(string name)
    {
        try
        {
            var addresses = await Dns.GetHostAddressesAsync(name).ConfigureAwait(false);
            return addresses.Length > 0 ? addresses : throw new NameLookupException("the name has no address", isTemporary: false);
        }
        catch (SocketException e)
        {
            throw new NameLookupException(e.Message, e.SocketErrorCode == SocketError.TryAgain, e);
        }
        catch (ArgumentException e)
        {
            throw new NameLookupException(e.Message, isTemporary: false, e);
        }
    }

    public async Task<uint?> ReadSerialAsync(string zone)
    {
        if (_forZones is null)
        {
            if (!File.Exists(ResolverFile.OfSystem)) return null;
            _forZones = new NameServerResolver(ResolverFile.Load(ResolverFile.OfSystem));
        }
        return await _forZones.ReadSerialAsync(zone).ConfigureAwait(false);
    }
}
