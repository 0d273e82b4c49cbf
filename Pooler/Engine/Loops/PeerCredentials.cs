using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Pooler.Engine.Loops;

/// <summary>Who was at the other end of a Unix socket when it connected, as the kernel says.</summary>
/// <param name="UserId">Effective user id of the peer's process.</param>
/// <param name="GroupId">Effective group id of the peer's process.</param>
/// <param name="ProcessId">The peer's process; 0 where the system does not tell.</param>
public sealed partial record PeerCredentials(uint UserId, uint GroupId, int ProcessId)
{
    /// <summary>Asks for those of a connected Unix socket; null where and when the system does not tell.</summary>
    internal static PeerCredentials? Of(Socket socket)
    {
        try
        {
            var descriptor = (int)socket.SafeHandle.DangerousGetHandle();
            if (OperatingSystem.IsLinux()) return Libc.PeerOf(descriptor);
            if ((OperatingSystem.IsMacOS() || OperatingSystem.IsFreeBSD()) && getpeereid(descriptor, out var user, out var group) == 0)
                return new PeerCredentials(user, group, 0);
        }
        catch (ObjectDisposedException)
        {
            // Closed meanwhile.
        }

        return null;
    }

    // BSD's call; Linux has SO_PEERCRED (unix(7)).
    [LibraryImport("libc")]
    private static partial int getpeereid(int descriptor, out uint user, out uint group);
}
