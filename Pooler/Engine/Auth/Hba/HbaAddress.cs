using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Pooler.Engine.Auth.Hba;

/// <summary>What the address column of an HBA line may hold.</summary>
internal enum HbaAddressKind
{
    /// <summary><c>all</c>.</summary>
    All,

    /// <summary>An address with a mask or a prefix length.</summary>
    Network,

    /// <summary><c>samehost</c>: an address of this machine.</summary>
    SameHost,

    /// <summary><c>samenet</c>: an address in a network this machine is in.</summary>
    SameNet,

    /// <summary>A host name, or with a leading dot the end of one.</summary>
    HostName,
}

/// <summary>The address column of an HBA line.</summary>
internal sealed class HbaAddress
{
    private byte[] _address = [];
    private byte[] _mask = [];

    private HbaAddress(HbaAddressKind kind) => Kind = kind;

    public static HbaAddress Everything { get; } = new(HbaAddressKind.All);

    public static HbaAddress SameHost { get; } = new(HbaAddressKind.SameHost);

    public static HbaAddress SameNet { get; } = new(HbaAddressKind.SameNet);

    public HbaAddressKind Kind { get; }

    /// <summary>Of a <see cref="HbaAddressKind.HostName"/>.</summary>
    public string HostName { get; private init; } = "";

    public static HbaAddress OfHostName(string name) => new(HbaAddressKind.HostName) { HostName = name };

    /// <summary>An address and its mask; null when the two are not of one family.</summary>
    public static HbaAddress? OfNetwork(IPAddress address, IPAddress mask) => address.AddressFamily != mask.AddressFamily
        ? null
        : new HbaAddress(HbaAddressKind.Network) { _address = address.GetAddressBytes(), _mask = mask.GetAddressBytes() };

    /// <summary>An address and the length of its prefix in bits; null when that is not a number in range.</summary>
    public static HbaAddress? OfNetwork(IPAddress address, ReadOnlySpan<char> prefixLength)
    {
        var bytes = address.GetAddressBytes();
        return int.TryParse(prefixLength, NumberStyles.None, CultureInfo.InvariantCulture, out var bits) && bits <= bytes.Length * 8
            ? OfNetwork(address, bits)
            : null;
    }

    public static HbaAddress OfNetwork(IPAddress address, int prefixLength)
    {
        var bytes = address.GetAddressBytes();
        var mask = new byte[bytes.Length];
        for (var i = 0; i < mask.Length; i++) mask[i] = (byte)(0xff00 >> Math.Clamp(prefixLength - (i * 8), 0, 8));
        return new HbaAddress(HbaAddressKind.Network) { _address = bytes, _mask = mask };
    }

    /// <summary>Reads an address as inet_pton(3) does: no shortened IPv4, no zones, no brackets.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out IPAddress address)
    {
        address = IPAddress.None;
        if (text.IndexOfAnyExcept("0123456789abcdefABCDEF:.") >= 0 || !IPAddress.TryParse(text, out var parsed)) return false;
        if (parsed.AddressFamily == AddressFamily.InterNetwork && text.Count('.') != 3) return false;
        address = parsed;
        return true;
    }

    /// <summary>
    /// Whether the address has bits outside its mask. As in PgBouncer nothing is in such a network; PostgreSQL would
    /// ignore these bits.
    /// </summary>
    public bool HasBitsOutsideMask
    {
        get
        {
            for (var i = 0; i < _address.Length; i++)
                if ((_address[i] & ~_mask[i]) != 0) return true;
            return false;
        }
    }

    /// <summary>Of a <see cref="HbaAddressKind.Network"/>: whether the address is in it.</summary>
    public bool Contains(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        if (!address.TryWriteBytes(bytes, out var length) || length != _address.Length) return false;
        for (var i = 0; i < length; i++)
            if ((bytes[i] & _mask[i]) != _address[i]) return false;
        return true;
    }

    /// <summary>Of a <see cref="HbaAddressKind.HostName"/>: whether the name is meant.</summary>
    public bool IsNameOf(string hostName) => HostName[0] == '.'
        ? hostName.EndsWith(HostName, StringComparison.OrdinalIgnoreCase) && hostName.Length > HostName.Length
        : hostName.Equals(HostName, StringComparison.OrdinalIgnoreCase);

    /// <summary>How clients on a socket that takes both families look: as the IPv4 addresses they are.</summary>
    public static IPAddress Normalized(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}
