using System.Security.Cryptography;
using System.Text;
using LocalRun.Manifest;
using LocalRun.Processes;
using LocalRun.Provisioning;
using LocalRun.Terminal;

namespace LocalRun.Stacks;

/// <summary>Builds the projects of a manifest, all in one go, and knows where their programs are.</summary>
internal sealed class ProjectBuild
{
    private readonly Dictionary<string, string> _programs = new(StringComparer.Ordinal);

    /// <summary>The configuration that this program itself was built in, for the projects too.</summary>
    private static string Configuration { get; } =
        typeof(ProjectBuild).Assembly.GetCustomAttributes(typeof(System.Reflection.AssemblyConfigurationAttribute), false)
            .OfType<System.Reflection.AssemblyConfigurationAttribute>().FirstOrDefault()?.Configuration ?? "Debug";

    /// <summary>Builds.</summary>
    /// <param name="manifest">The manifest.</param>
    /// <param name="build">False to use what was built before.</param>
    /// <param name="screen">Told what is being done.</param>
    /// <param name="cancellationToken">Kills the build.</param>
    public static async Task<ProjectBuild> RunAsync(AspireManifest manifest, bool build, Screen screen, CancellationToken cancellationToken)
    {
        var projects = manifest.Resources.Where(resource => resource.IsProject).Select(resource => FileOf(resource, manifest)).Distinct().ToList();
        var result = new ProjectBuild();
        if (projects.Count == 0)
            return result;

        if (build)
            await BuildAsync(projects, manifest.Directory, screen, cancellationToken).ConfigureAwait(false);

        var programs = await Task.WhenAll(projects.Select(project => ProgramAsync(project, manifest.Directory, cancellationToken))).ConfigureAwait(false);
        foreach (var (project, program) in projects.Zip(programs))
        {
            if (!File.Exists(program))
                throw new StackException($"{project} has not been built: there is no {program}.");
            result._programs[project] = program;
        }

        return result;
    }

    /// <summary>The project file of a resource, which exists.</summary>
    public static string FileOf(ManifestResource resource, AspireManifest manifest)
    {
        var path = Path.GetFullPath(Path.Combine(
            manifest.Directory, resource.Path ?? throw new ManifestException($"Resource '{resource.Name}' has no \"path\".")));
        return File.Exists(path) ? path : throw new ManifestException($"Resource '{resource.Name}': there is no project {path}.");
    }

    /// <summary>The program (dll) of a project.</summary>
    public string Program(string project) => _programs[project];

    private static async Task BuildAsync(IReadOnlyList<string> projects, string directory, Screen screen, CancellationToken cancellationToken)
    {
        // Two builds of the same projects at once spoil each other's obj folders.
        var clone = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(directory)))[..12];
        using var alone = await MachineLock.TakeAsync("build-" + clone, screen, cancellationToken).ConfigureAwait(false);
        screen.Report($"Building {string.Join(", ", projects.Select(Path.GetFileNameWithoutExtension))} (the first time restores packages) …");

        using var temporary = TemporaryDirectory.Create("pooler-build-");
        var solution = Path.Combine(temporary.Path, "stack.slnx");
        var text = new StringBuilder("<Solution>\n");
        foreach (var project in projects)
            text.Append("  <Project Path=\"").Append(System.Security.SecurityElement.Escape(project)).Append("\" />\n");
        await File.WriteAllTextAsync(solution, text.Append("</Solution>\n").ToString(), cancellationToken).ConfigureAwait(false);

        // No build servers, or they would outlive us.
        var command = DotNetCommand(
            directory,
            line =>
            {
                if (line.Contains(" -> ", StringComparison.Ordinal))
                    screen.Report("  built " + Path.GetFileName(line.Split(" -> ")[0].Trim()));
                else if (line.Contains("Restored ", StringComparison.Ordinal))
                    screen.Report("  restored " + Path.GetFileNameWithoutExtension(line.Split('(')[0].Trim()));
            },
            "build", solution, "-c", Configuration, "-v", "minimal", "--nologo", "-tl:off", "--disable-build-servers");
        var result = await command.RunAsync(cancellationToken).ConfigureAwait(false);
        if (!result.Succeeded)
        {
            var errors = result.Output.Split('\n').Where(line => line.Contains("error", StringComparison.OrdinalIgnoreCase)).Distinct().Take(20).ToList();
            throw new StackException($"The build failed:\n{(errors.Count > 0 ? string.Join('\n', errors) : result.AllOutput)}");
        }
    }

    private static async Task<string> ProgramAsync(string project, string directory, CancellationToken cancellationToken)
    {
        var answer = await DotNetCommand(
            directory, null,
            "msbuild", project, "-nologo", $"-p:Configuration={Configuration}", "-getProperty:TargetPath", "-nodeReuse:false")
            .RunCheckedAsync(cancellationToken).ConfigureAwait(false);
        return answer.Trim();
    }

    private static Command DotNetCommand(string directory, Action<string>? onLine, params string[] arguments)
    {
        var command = new Command(DotNet.Program(), arguments) { WorkingDirectory = directory, OnLine = onLine };

        // The SDK that runs us (dotnet run, dotnet test) leaves MSBuild's variables behind, which mislead another MSBuild.
        foreach (var name in Environment.GetEnvironmentVariables().Keys.OfType<string>())
        {
            if (name.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase))
                command.Environment[name] = null;
        }

        return command;
    }
}
