using System.Globalization;
using System.Runtime.InteropServices;

namespace Pooler.Server.Unix;

/// <summary>A group of the operating system.</summary>
internal sealed record UnixGroup(uint Id)
{
    /// <summary>Looks a group up, by name or by number; null when there is none of that name.</summary>
    public static UnixGroup? Find(string name)
    {
        if (OperatingSystem.IsWindows()) return null;
        if (uint.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var id)) return new UnixGroup(id);
        var entry = LibC.FindGroup(name);

        // struct group begins the same everywhere: char *gr_name, char *gr_passwd, gid_t (32 bits).
        return entry == 0 ? null : new UnixGroup((uint)Marshal.ReadInt32(entry, 2 * nint.Size));
    }

    /// <summary>Gives a file to the group; the last P/Invoke error says why not.</summary>
    public bool Own(string path) => LibC.ChangeOwner(path, LibC.Unchanged, Id) == 0;
}
