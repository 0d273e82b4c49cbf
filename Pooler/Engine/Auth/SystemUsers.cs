using System.Runtime.InteropServices;

namespace Pooler.Engine.Auth;

/// <summary>Users of the operating system.</summary>
internal static unsafe partial class SystemUsers
{
    // No struct passwd is larger, on any system .NET runs on.
    private const int StructSize = 256;

    // Of the strings in an entry; PostgreSQL's figure is no larger.
    private const int BufferSize = 16 * 1024;

    /// <summary>The effective user of this process; null on Windows.</summary>
    public static uint? OwnId => OperatingSystem.IsWindows() ? null : geteuid();

    /// <summary>The name of a user; null when there is none with that number. May ask a directory server: blocks.</summary>
    public static string? NameOf(uint userId)
    {
        if (OperatingSystem.IsWindows()) return null;
        var strings = stackalloc byte[BufferSize];
        var entry = stackalloc nint[StructSize / sizeof(nint)];
        nint* result = null;
        if (getpwuid_r(userId, entry, strings, BufferSize, &result) != 0 || result is null) return null;
        // Its first member is char *pw_name everywhere.
        return Marshal.PtrToStringUTF8(*result);
    }

    [LibraryImport("libc")]
    private static partial uint geteuid();

    [LibraryImport("libc")]
    private static partial int getpwuid_r(uint userId, nint* entry, byte* buffer, nint length, nint** result);
}
