using System.DirectoryServices.Protocols;
using System.Runtime.InteropServices;

namespace Pooler.Engine.Auth.Ldap;

/// <summary>
/// The defaults of OpenLDAP's library, which it gives to each new connection: for what System.DirectoryServices.Protocols
/// has no property for. ldap_set_option(3) without a handle.
/// </summary>
internal static unsafe class OpenLdapDefaults
{
    /// <summary>The longest wait for an answer.</summary>
    public static readonly TimeSpan OperationTimeout = TimeSpan.FromSeconds(10);

    // ldap.h: seconds for connecting (PgBouncer's three) and for the answer to a bind; where to connect to.
    private const int NetworkTimeoutOption = 0x5005;
    private const int TimeoutOption = 0x5002;
    private const int UriOption = 0x5006;
    private const int ConnectSeconds = 3;

    // The names under which System.DirectoryServices.Protocols looks for the library.
    private static readonly string[] Libraries = ["libldap-2.6.so.0", "libldap-2.5.so.0", "libldap-2.4.so.2", "libldap.so.2"];

    // The library reads its defaults without one.
    private static readonly Lock Guard = new();

    private static readonly Lazy<nint> SetOption = new(Find);

    /// <summary>
    /// Makes a connection that knows its servers and its limits before its first request, and so can begin with StartTLS.
    /// Without OpenLDAP, as on Windows, it has only what the constructor gives it, and <paramref name="knowsServers"/> is false.
    /// </summary>
    public static LdapConnection Connect(LdapDirectoryIdentifier servers, bool isSecure, out bool knowsServers)
    {
        lock (Guard)
        {
            knowsServers = SetOption.Value != 0 && SetServers(servers, isSecure ? "ldaps" : "ldap");
            return new LdapConnection(servers);
        }
    }

    private static bool SetServers(LdapDirectoryIdentifier servers, string scheme)
    {
        var uris = string.Join(' ', servers.Servers.Select(server => $"{scheme}://{server}:{servers.PortNumber}"));
        var text = Marshal.StringToCoTaskMemUTF8(uris);
        try
        {
            return Set(UriOption, (void*)text);
        }
        finally
        {
            Marshal.FreeCoTaskMem(text);
        }
    }

    private static bool Set(int option, void* value) => ((delegate* unmanaged[Cdecl]<nint, int, void*, int>)SetOption.Value)(0, option, value) == 0;

    private static nint Find()
    {
        if (!OperatingSystem.IsLinux()) return 0;
        foreach (var name in Libraries)
        {
            if (!NativeLibrary.TryLoad(name, out var library)) continue;
            if (!NativeLibrary.TryGetExport(library, "ldap_set_option", out var address)) continue;
            var setOption = (delegate* unmanaged[Cdecl]<nint, int, TimeValue*, int>)address;
            var connect = new TimeValue { Seconds = ConnectSeconds };
            var operation = new TimeValue { Seconds = (nint)OperationTimeout.TotalSeconds };
            _ = setOption(0, NetworkTimeoutOption, &connect);
            _ = setOption(0, TimeoutOption, &operation);
            return address;
        }
        return 0;
    }

    // struct timeval of 64-bit Linux: two longs.
    [StructLayout(LayoutKind.Sequential)]
    private struct TimeValue
    {
        public nint Seconds;
        public nint Microseconds;
    }
}
