using System.Reflection;

namespace Pooler.Server;

/// <summary>The version of this build.</summary>
internal static class ProgramVersion
{
    /// <summary>As <c>--version</c> prints it first.</summary>
    public static string Text { get; } =
        $"Pooler {typeof(ProgramVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion}";
}
