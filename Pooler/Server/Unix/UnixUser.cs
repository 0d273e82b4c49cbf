using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Pooler.Server.Unix;

/// <summary>A user of the operating system, to change to from root.</summary>
internal sealed record UnixUser(string Name, uint UserId, uint GroupId)
{
    public static bool IsRoot => !OperatingSystem.IsWindows() && LibC.GetEffectiveUserId() == 0;

    /// <summary>Looks a user up; null when there is none of that name.</summary>
    public static UnixUser? Find(string name)
    {
        if (OperatingSystem.IsWindows()) return null;
        var entry = LibC.FindUser(name);
        if (entry == 0) return null;

        // struct passwd begins the same everywhere: char *pw_name, char *pw_passwd, uid_t, gid_t (both 32 bits).
        return new UnixUser(name, (uint)Marshal.ReadInt32(entry, 2 * nint.Size), (uint)Marshal.ReadInt32(entry, (2 * nint.Size) + sizeof(uint)));
    }

    /// <summary>Gives up root's rights for good.</summary>
    /// <exception cref="Win32Exception">The operating system refused.</exception>
    public void Become()
    {
        // In this order: each step needs the rights that the last one gives up.
        if (LibC.SetSupplementaryGroups(Name, GroupId) != 0 || LibC.SetGroup(GroupId) != 0 || LibC.SetUser(UserId) != 0)
            throw new Win32Exception(Marshal.GetLastPInvokeError());
    }
}
