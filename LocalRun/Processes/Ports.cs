using System.Net;
using System.Net.Sockets;

namespace LocalRun.Processes;

/// <summary>Hands out free TCP ports of the loopback interface.</summary>
/// <remarks>
/// The ports lie below the range that systems take for outgoing connections (Linux: from 32768, others: from 49152).
/// A port of that range can be taken by any client that connects somewhere between the look and the server's bind.
/// </remarks>
public static class Ports
{
    private const int First = 12000;
    private const int Last = 32000;

    private static readonly HashSet<int> Given = [];

    /// <summary>A port that nobody listens on, never given twice by this process.</summary>
    public static int Take()
    {
        for (var attempt = 0; attempt < 1000; attempt++)
        {
            var port = Random.Shared.Next(First, Last);
            lock (Given)
            {
                if (!Given.Add(port))
                    continue;
            }

            if (IsFree(port))
                return port;
        }

        throw new ProvisioningException($"No free TCP port between {First} and {Last}.");
    }

    /// <summary>True when nobody listens on the port, neither on the loopback interface nor on all.</summary>
    public static bool IsFree(int port)
    {
        try
        {
            using var any = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ExclusiveAddressUse = true };
            any.Bind(new IPEndPoint(IPAddress.Any, port));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
