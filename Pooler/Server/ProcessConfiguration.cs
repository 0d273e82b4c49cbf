using System.Collections;
using System.Globalization;
using Pooler.Engine.Configuration;

namespace Pooler.Server;

/// <summary>The configuration sources of this process: they are read anew at every reload.</summary>
internal sealed class ProcessConfiguration
{
    private readonly CommandLine _commandLine;
    private readonly Dictionary<string, string> _environment;

    public ProcessConfiguration(CommandLine commandLine)
    {
        _commandLine = commandLine;
        _environment = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().ToDictionary(e => (string)e.Key, e => (string?)e.Value ?? "");

        // A variable may name the file in the command line's place; as a setting it would undo SET conffile at each reload.
        ConfigurationFile = commandLine.ConfigurationFile;
        foreach (var name in new[] { "POOLER_CONFFILE", "PGBOUNCER_CONFFILE" })
            if (_environment.Remove(name, out var file) && file.Length > 0) ConfigurationFile ??= file;
    }

    /// <summary>The file that the process was started with; null when there is none.</summary>
    public string? ConfigurationFile { get; }

    /// <summary>Reads everything.</summary>
    /// <param name="running">What runs now, at a reload.</param>
    public ConfigurationResult Read(PoolerConfiguration? running = null)
    {
        IEnumerable<KeyValuePair<string, string?>> keys;
        try
        {
            keys = ReadAppSettings();
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException or FormatException)
        {
            return new ConfigurationResult { Errors = [new ConfigurationIssue("appsettings.json", (e.InnerException ?? e).Message)] };
        }

        return ConfigurationLoader.Load(
            new ConfigurationSources
            {
                // The console may have named another file with SET conffile.
                File = running is null ? ConfigurationFile : running.Settings.ConfFile,
                Environment = _environment,
                Keys = keys,
                CommandLine = CommandLineSettings(),
                InContainer = _environment.GetValueOrDefault("DOTNET_RUNNING_IN_CONTAINER") is "true" or "1",
            },
            running);
    }

    private List<KeyValuePair<string, string?>> ReadAppSettings()
    {
        var environment = _environment.GetValueOrDefault("DOTNET_ENVIRONMENT") ?? _environment.GetValueOrDefault("ASPNETCORE_ENVIRONMENT");
        var builder = new ConfigurationBuilder();
        foreach (var directory in new[] { AppContext.BaseDirectory, Directory.GetCurrentDirectory() }.Distinct())
        {
            builder.AddJsonFile(Path.Combine(directory, "appsettings.json"), optional: true, reloadOnChange: false);
            if (environment is not null)
                builder.AddJsonFile(Path.Combine(directory, $"appsettings.{environment}.json"), optional: true, reloadOnChange: false);
        }

        var configuration = builder.Build();
        using (configuration as IDisposable) return [.. configuration.GetSection("Pooler").AsEnumerable()];
    }

    private Dictionary<string, string> CommandLineSettings()
    {
        var settings = new Dictionary<string, string>();
        if (_commandLine.User is { } user) settings["user"] = user;
        if (_commandLine.Verbosity > 0) settings["verbose"] = Math.Min(_commandLine.Verbosity, 3).ToString(CultureInfo.InvariantCulture);
        return settings;
    }
}
