using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace Pooler.Engine.Auth.Hba;

/// <summary>What a line may ask for that a login does not bring along.</summary>
internal enum HbaQuestionKind
{
    /// <summary>The client's host name.</summary>
    HostName,

    /// <summary>This machine's addresses and networks.</summary>
    Interfaces,

    /// <summary>Whether the user is a member of a role.</summary>
    Membership,
}

/// <summary>One thing that has to be found out, off the loops, before the lines can be read on.</summary>
internal sealed record HbaQuestion(HbaQuestionKind Kind, string Role = "");

/// <summary>What was found out for one login so far.</summary>
internal sealed class HbaFacts
{
    private readonly Dictionary<string, bool?> _memberships = new(StringComparer.Ordinal);
    private bool _hostNameIsKnown;
    private string? _hostName;
    private IReadOnlyList<(HbaAddress Address, HbaAddress Network)>? _interfaces;

    /// <summary>The name of the client's address, if the address is also one of the name's; null when there is none.</summary>
    public bool TryGetHostName(out string? name)
    {
        name = _hostName;
        return _hostNameIsKnown;
    }

    public bool TryGetInterfaces(out IReadOnlyList<(HbaAddress Address, HbaAddress Network)> interfaces)
    {
        interfaces = _interfaces ?? [];
        return _interfaces is not null;
    }

    /// <summary>Whether the user is a member; null when nobody can be asked.</summary>
    public bool TryGetMembership(string role, out bool? isMember) => _memberships.TryGetValue(role, out isMember);

    /// <summary>Finds it out. Never faults.</summary>
    public async Task FindAsync(HbaQuestion question, AuthenticationRequest request, IHostNames hostNames)
    {
        switch (question.Kind)
        {
            case HbaQuestionKind.HostName:
                _hostName = await NameAsync(request.Address!, hostNames).ConfigureAwait(false);
                _hostNameIsKnown = true;
                break;
            case HbaQuestionKind.Interfaces:
                _interfaces = await Task.Run(Interfaces).ConfigureAwait(false);
                break;
            default:
                _memberships[question.Role] = request.UserQueries is { } queries
                    ? await queries.IsMemberAsync(request.UserName, question.Role).ConfigureAwait(false)
                    : null;
                break;
        }
    }

    // Whoever has an address may give it any name; only that the name leads back to the address proves something.
    private static async Task<string?> NameAsync(IPAddress address, IHostNames hostNames)
    {
        if (await hostNames.NameOfAsync(address).ConfigureAwait(false) is not { Length: > 0 } name) return null;
        foreach (var back in await hostNames.AddressesOfAsync(name).ConfigureAwait(false))
            if (HbaAddress.Normalized(back).Equals(address)) return name;
        return null;
    }

    private static List<(HbaAddress Address, HbaAddress Network)> Interfaces()
    {
        var found = new List<(HbaAddress, HbaAddress)>();
        try
        {
            foreach (var unicast in NetworkInterface.GetAllNetworkInterfaces().SelectMany(i => i.GetIPProperties().UnicastAddresses))
            {
                // A zone (fe80::1%eth0) is not part of what a client's address is compared with.
                var address = new IPAddress(unicast.Address.GetAddressBytes());
                found.Add((HbaAddress.OfNetwork(address, address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128), NetworkOf(address, unicast.PrefixLength)));
            }
        }
        catch (NetworkInformationException)
        {
            // Not to be known: no client is in the same network then.
        }

        return found;
    }

    private static HbaAddress NetworkOf(IPAddress address, int prefixLength)
    {
        var bytes = address.GetAddressBytes();
        for (var i = 0; i < bytes.Length; i++) bytes[i] &= (byte)(0xff00 >> Math.Clamp(prefixLength - (i * 8), 0, 8));
        return HbaAddress.OfNetwork(new IPAddress(bytes), prefixLength);
    }
}
