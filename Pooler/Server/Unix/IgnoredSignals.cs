using System.Globalization;

namespace Pooler.Server.Unix;

/// <summary>
/// Signals that the process was started to ignore: a shell does that with INT and QUIT of what it runs in the background
/// of a script, nohup with HUP. .NET leaves an ignored signal ignored, registration or not; PgBouncer hears them all.
/// </summary>
internal static class IgnoredSignals
{
    private const nint Default = 0; // SIG_DFL
    private static readonly int[] Ours = [1, 2, 3, 15]; // HUP, INT, QUIT, TERM

    /// <summary>
    /// Makes them heard. To be called first of all: the runtime looks at what is ignored when the console or signals are
    /// used for the first time.
    /// </summary>
    public static void Heed()
    {
        const string Field = "SigIgn:";
        if (!OperatingSystem.IsLinux()) return;
        var line = File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith(Field, StringComparison.Ordinal));
        if (line is null || !ulong.TryParse(line.AsSpan(Field.Length).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var ignored)) return;

        // Only where ignored: elsewhere the runtime has put handlers of its own that must stay.
        foreach (var signal in Ours)
            if ((ignored & (1UL << (signal - 1))) != 0) _ = LibC.SetHandler(signal, Default);
    }
}
