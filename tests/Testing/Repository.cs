namespace Testing;

/// <summary>Places in the clone that the tests run from.</summary>
public static class Repository
{
    /// <summary>The folder with Aspire.sln.</summary>
    public static string Root { get; } = Find();

    /// <summary>"Debug" or "Release": the configuration that the running test was built in.</summary>
    public static string Configuration { get; } = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;

    /// <summary>A program that was built together with the tests, such as <c>Program("Pooler/Server", "pooler")</c>: run it with <c>dotnet</c>.</summary>
    public static string Program(string projectDirectory, string assembly)
    {
        var path = Path.Combine(Root, projectDirectory, "bin", Configuration, "net10.0", assembly + ".dll");
        return File.Exists(path) ? path : throw new FileNotFoundException("Build it first (the test project must reference it).", path);
    }

    private static string Find()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Aspire.sln")))
                return directory.FullName;
        }

        throw new InvalidOperationException("The tests do not run from a clone of the repository.");
    }
}
