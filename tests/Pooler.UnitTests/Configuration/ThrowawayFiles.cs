using Pooler.Engine.Configuration;

namespace Pooler.UnitTests.Configuration;

/// <summary>A directory of configuration files for one test.</summary>
internal sealed class ThrowawayFiles : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pooler-config-").FullName;

    public string Write(string name, string text)
    {
        var path = Path.Combine(_directory, name);
        File.WriteAllText(path, text);
        return path;
    }

    public ConfigurationResult Load(string ini, params (string Name, string Value)[] environment) =>
        ConfigurationLoader.Load(Sources(ini, environment));

    public ConfigurationSources Sources(string ini, params (string Name, string Value)[] environment) =>
        new() { File = Write("pooler.ini", ini), Environment = environment.ToDictionary(e => e.Name, e => e.Value) };

    public static ConfigurationResult LoadEnvironment(params (string Name, string Value)[] environment) =>
        ConfigurationLoader.Load(new ConfigurationSources { Environment = environment.ToDictionary(e => e.Name, e => e.Value) });

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
