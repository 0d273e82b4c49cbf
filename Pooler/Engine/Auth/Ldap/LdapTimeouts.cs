using System.Runtime.InteropServices;

namespace Pooler.Engine.Auth.Ldap;

/// <summary>
/// Limits how long OpenLDAP's library waits for a server. System.DirectoryServices.Protocols has no property for
/// connecting and binding, so the library's own defaults are set, once per process: ldap_set_option(3) without a handle.
/// </summary>
internal static unsafe class LdapTimeouts
{
    /// <summary>The longest wait for an answer.</summary>
    public static readonly TimeSpan Operation = TimeSpan.FromSeconds(10);

    // ldap.h: seconds for connecting (PgBouncer's three) and for the answer to a bind.
    private const int NetworkTimeoutOption = 0x5005;
    private const int TimeoutOption = 0x5002;
    private const int ConnectSeconds = 3;

    // The names under which System.DirectoryServices.Protocols looks for the library.
    private static readonly string[] Libraries = ["libldap-2.6.so.0", "libldap-2.5.so.0", "libldap-2.4.so.2", "libldap.so.2"];

    private static readonly Lazy<bool> IsSet = new(SetDefaults);

    /// <summary>Sets the limits if that has not been done. Without OpenLDAP, as on Windows, there is nothing to set.</summary>
    public static void Set() => _ = IsSet.Value;

    private static bool SetDefaults()
    {
        if (!OperatingSystem.IsLinux()) return false;
        foreach (var name in Libraries)
        {
            if (!NativeLibrary.TryLoad(name, out var library)) continue;
            if (!NativeLibrary.TryGetExport(library, "ldap_set_option", out var address)) continue;
            var setOption = (delegate* unmanaged[Cdecl]<nint, int, TimeValue*, int>)address;
            var connect = new TimeValue { Seconds = ConnectSeconds };
            var operation = new TimeValue { Seconds = (nint)Operation.TotalSeconds };
            return setOption(0, NetworkTimeoutOption, &connect) == 0 && setOption(0, TimeoutOption, &operation) == 0;
        }
        return false;
    }

    // struct timeval of 64-bit Linux: two longs.
    [StructLayout(LayoutKind.Sequential)]
    private struct TimeValue
    {
        public nint Seconds;
        public nint Microseconds;
    }
}
