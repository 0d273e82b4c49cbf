using System.Globalization;
using System.Net.Sockets;
using Pooler.Engine;

namespace Pooler.Server.Unix;

/// <summary>
/// Sockets that a service manager has opened for us, by the protocol of sd_listen_fds(3): LISTEN_FDS of them, from
/// descriptor 3 on, meant for us when LISTEN_PID says so.
/// </summary>
internal static class PassedSockets
{
    private const int FirstDescriptor = 3;
    private const int SetDescriptorFlags = 2; // F_SETFD
    private const int CloseOnExec = 1; // FD_CLOEXEC

    /// <summary>Takes them. The variables are removed: they are not meant for processes that we start.</summary>
    /// <exception cref="PoolerStartException">One of them is no listening socket.</exception>
    public static IReadOnlyList<Socket> Take()
    {
        var process = Environment.GetEnvironmentVariable("LISTEN_PID");
        var count = Environment.GetEnvironmentVariable("LISTEN_FDS");
        if (OperatingSystem.IsWindows() || process != Environment.ProcessId.ToString(CultureInfo.InvariantCulture)
            || !int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return [];
        foreach (var name in (string[])["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) Environment.SetEnvironmentVariable(name, null);

        var sockets = new List<Socket>(number);
        for (var descriptor = FirstDescriptor; descriptor < FirstDescriptor + number; descriptor++) sockets.Add(Take(descriptor));
        return sockets;
    }

    private static Socket Take(int descriptor)
    {
        _ = LibC.Control(descriptor, SetDescriptorFlags, CloseOnExec);
        try
        {
            var socket = new Socket(new SafeSocketHandle(descriptor, ownsHandle: true));
            if (socket.SocketType == SocketType.Stream && (int)socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.AcceptConnection)! != 0)
                return socket;
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            throw new PoolerStartException($"failed to set up socket passed from service manager (fd {descriptor}): {e.Message}", e);
        }

        throw new PoolerStartException(
            $"failed to set up socket passed from service manager (fd {descriptor}): it does not listen for stream connections; use ListenStream= with Accept=no");
    }
}
