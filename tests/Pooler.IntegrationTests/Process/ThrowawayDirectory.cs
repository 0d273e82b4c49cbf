namespace Pooler.IntegrationTests.Process;

/// <summary>A directory for one test.</summary>
internal sealed class ThrowawayDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("pooler-process-").FullName;

    public string Write(string name, string text)
    {
        var path = System.IO.Path.Combine(Path, name);
        File.WriteAllText(path, text);
        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
