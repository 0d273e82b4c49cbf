using LocalRun.Processes;
using LocalRun.Stacks;

namespace LocalRun.Terminal;

/// <summary>What the person at the terminal sees: progress, tables, and the services' logs under their names.</summary>
/// <param name="output">Where to write; lines are written whole.</param>
/// <param name="colours">True to colour the names.</param>
/// <param name="errors">Where errors go.</param>
internal sealed class Screen(TextWriter output, bool colours, TextWriter? errors = null) : IProgress<string>
{
    // Cyan, green, yellow, magenta, blue and their bright forms: readable on dark and on light.
    private static readonly int[] Palette = [36, 32, 33, 35, 34, 96, 92, 95];

    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _colourOf = new(StringComparer.Ordinal);
    private readonly List<(string Name, string Line)> _held = [];
    private bool _holding = true;
    private int _nameWidth = 8;

    /// <summary>The console. Colours only on a terminal, and not when NO_COLOR is set (https://no-color.org).</summary>
    public static Screen OnConsole() => new(
        Console.Out,
        !Console.IsOutputRedirected && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")),
        Console.Error);

    /// <summary>Says what is being done.</summary>
    public void Report(string value) => Line(Painted(90, "· ") + value);

    /// <summary>Writes a line.</summary>
    public void Line(string text = "")
    {
        lock (_gate)
        {
            output.WriteLine(text);
            output.Flush();
        }
    }

    /// <summary>Writes an error, in red.</summary>
    public void Error(string text)
    {
        lock (_gate)
        {
            (errors ?? output).WriteLine(Painted(31, text));
            (errors ?? output).Flush();
        }
    }

    /// <summary>A heading.</summary>
    public void Heading(string text) => Line(Painted(1, text));

    /// <summary>
    /// Writes a line of a service's log. Lines that come before <see cref="ReleaseLogs"/> are kept for later, so that
    /// progress and the table can be read.
    /// </summary>
    public void Log(string service, string line)
    {
        lock (_gate)
        {
            if (_holding)
            {
                _held.Add((service, line));
                return;
            }
        }

        WriteLog(service, line);
    }

    /// <summary>Writes the lines kept so far, and all later ones at once.</summary>
    public void ReleaseLogs()
    {
        lock (_gate)
        {
            _holding = false;
            foreach (var (name, line) in _held)
                WriteLog(name, line);
            _held.Clear();
        }
    }

    /// <summary>Writes a table with columns as wide as needed.</summary>
    public void Table(IReadOnlyList<string> headings, IEnumerable<IReadOnlyList<string>> rows)
    {
        var all = rows.ToList();
        var widths = headings.Select((heading, i) => all.Select(row => row[i].Length).Append(heading.Length).Max()).ToArray();
        string Format(IReadOnlyList<string> cells) => ("  " + string.Join("   ", cells.Select((cell, i) => cell.PadRight(widths[i])))).TrimEnd();

        Heading(Format(headings));
        foreach (var row in all)
            Line(Format(row));
    }

    /// <summary>Reserves the width of the longest name.</summary>
    public void NameServices(IEnumerable<string> names)
    {
        lock (_gate)
        {
            foreach (var name in names)
            {
                _colourOf.TryAdd(name, Palette[_colourOf.Count % Palette.Length]);
                _nameWidth = Math.Max(_nameWidth, name.Length);
            }
        }
    }

    /// <summary>Reports the failure of a command with its message.</summary>
    public void Failure(Exception failure) =>
        Error(failure is ProvisioningException or Manifest.ManifestException or StackException ? failure.Message : failure.ToString());

    private void WriteLog(string service, string line)
    {
        lock (_gate)
        {
            var colour = _colourOf.GetValueOrDefault(service, 37);
            Line($"{Painted(colour, service.PadRight(_nameWidth) + " |")} {line}");
        }
    }

    private string Painted(int colour, string text) => colours ? $"\e[{colour}m{text}\e[0m" : text;
}
