namespace Pooler.Server;

/// <summary>What the command line asks for.</summary>
internal enum CommandLineAction
{
    /// <summary>Run the pooler.</summary>
    Run,

    /// <summary>Read the configuration, say what is wrong with it, and end.</summary>
    Check,

    /// <summary>Print the version.</summary>
    Version,

    /// <summary>Print the usage.</summary>
    Help,

    /// <summary>Print docs/configuration.md.</summary>
    Reference,

    /// <summary>Print docs/metrics.md.</summary>
    Metrics,

    /// <summary>Print docs/advice.md.</summary>
    Advice,
}

/// <summary>The command line. Options are PgBouncer's, with getopt's spellings: -dq, -vv, -uNAME, --user=NAME.</summary>
internal sealed record CommandLine
{
    public const string Usage =
        """
        Usage: pooler [OPTION]... [CONFIG.ini]

        A PostgreSQL transaction pooler. Without a configuration file it is configured by
        environment variables and appsettings.json.

          -d, --daemon         run in the background (needs pidfile)
          -q, --quiet          log nothing to the console
          -R, --reboot         take over from the running process, with all its clients
          -u, --user=USERNAME  change to this Unix user after start
          -v, --verbose        log more; may be given several times
              --check          check the configuration and exit
          -V, --version        print the version and exit
          -h, --help           print this and exit

        """;

    // Short option, long option, whether it has an argument. Long ones without a short one have a letter of their own.
    private static readonly (char Short, string Long, bool HasArgument)[] Options =
    [
        ('d', "daemon", false), ('q', "quiet", false), ('R', "reboot", false), ('u', "user", true), ('v', "verbose", false),
        ('V', "version", false), ('h', "help", false), ('1', "check", false), ('2', "print-reference", false), ('3', "daemon-child", false),
        ('4', "print-metrics", false), ('5', "print-advice", false),
    ];

    public CommandLineAction Action { get; private init; }

    public bool Daemon { get; private init; }

    /// <summary>Set in the background process that <see cref="Daemon"/> starts.</summary>
    public bool DaemonChild { get; private init; }

    public bool Quiet { get; private init; }

    public bool Reboot { get; private init; }

    public int Verbosity { get; private init; }

    public string? User { get; private init; }

    public string? ConfigurationFile { get; private init; }

    /// <summary>Reads the arguments; <paramref name="error"/> is one line.</summary>
    public static bool TryParse(IReadOnlyList<string> arguments, out CommandLine commandLine, out string? error)
    {
        commandLine = new CommandLine();
        var onlyOperands = false;
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i];
            if (onlyOperands || argument is not ['-', _, ..])
            {
                if (commandLine.ConfigurationFile is not null)
                {
                    error = $"more than one configuration file: {commandLine.ConfigurationFile} and {argument}";
                    return false;
                }

                commandLine = commandLine with { ConfigurationFile = argument };
            }
            else if (argument == "--")
            {
                onlyOperands = true;
            }
            else if (!(argument[1] == '-' ? commandLine.ReadLong(arguments, ref i, out commandLine, out error) : commandLine.ReadShort(arguments, ref i, out commandLine, out error)))
            {
                return false;
            }
        }

        error = null;
        return true;
    }

    private bool ReadLong(IReadOnlyList<string> arguments, ref int index, out CommandLine changed, out string? error)
    {
        changed = this;
        var name = arguments[index][2..];
        string? value = null;
        if (name.IndexOf('=') is var equals and >= 0) (name, value) = (name[..equals], name[(equals + 1)..]);

        // As with getopt, a beginning that only one option has is enough.
        var matches = Options.Where(o => o.Long == name).ToArray();
        if (matches.Length == 0) matches = [.. Options.Where(o => o.Long.StartsWith(name, StringComparison.Ordinal) && char.IsLetter(o.Short))];
        if (matches.Length != 1)
        {
            error = matches.Length == 0 ? $"unknown option --{name}" : $"option --{name} is ambiguous";
            return false;
        }

        var option = matches[0];
        if (value is not null && !option.HasArgument)
        {
            error = $"option --{option.Long} takes no argument";
            return false;
        }

        if (value is null && option.HasArgument)
        {
            if (++index == arguments.Count)
            {
                error = $"option --{option.Long} needs an argument";
                return false;
            }

            value = arguments[index];
        }

        changed = With(option.Short, value);
        error = null;
        return true;
    }

    private bool ReadShort(IReadOnlyList<string> arguments, ref int index, out CommandLine changed, out string? error)
    {
        changed = this;
        var letters = arguments[index];
        for (var i = 1; i < letters.Length; i++)
        {
            var option = Options.FirstOrDefault(o => char.IsLetter(o.Short) && o.Short == letters[i]);
            if (option.Long is null)
            {
                error = $"unknown option -{letters[i]}";
                return false;
            }

            if (!option.HasArgument)
            {
                changed = changed.With(option.Short, null);
                continue;
            }

            if (i + 1 < letters.Length)
            {
                changed = changed.With(option.Short, letters[(i + 1)..]);
                break;
            }

            if (++index == arguments.Count)
            {
                error = $"option -{option.Short} needs an argument";
                return false;
            }

            changed = changed.With(option.Short, arguments[index]);
        }

        error = null;
        return true;
    }

    private CommandLine With(char option, string? value) => option switch
    {
        'd' => this with { Daemon = true },
        'q' => this with { Quiet = true },
        'R' => this with { Reboot = true },
        'u' => this with { User = value },
        'v' => this with { Verbosity = Verbosity + 1 },
        // The first of several that print something and end is the one that counts, as with getopt programs.
        'V' => Action == CommandLineAction.Run ? this with { Action = CommandLineAction.Version } : this,
        'h' => Action == CommandLineAction.Run ? this with { Action = CommandLineAction.Help } : this,
        '1' => Action == CommandLineAction.Run ? this with { Action = CommandLineAction.Check } : this,
        '2' => Action == CommandLineAction.Run ? this with { Action = CommandLineAction.Reference } : this,
        '4' => Action == CommandLineAction.Run ? this with { Action = CommandLineAction.Metrics } : this,
        '5' => Action == CommandLineAction.Run ? this with { Action = CommandLineAction.Advice } : this,
        '3' => this with { DaemonChild = true },
        _ => throw new ArgumentOutOfRangeException(nameof(option), option, "not an option"),
    };
}
