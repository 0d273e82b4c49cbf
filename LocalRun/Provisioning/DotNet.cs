using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>The .NET command line.</summary>
internal static class DotNet
{
    /// <summary>Full path of the dotnet program that runs us, or else the one on PATH.</summary>
    public static string Program()
    {
        // The SDK sets it for what it runs; otherwise the muxer that hosts us is the parent of the shared runtimes.
        if (Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host && File.Exists(host))
            return host;
        var runtime = System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory();
        var muxer = Path.GetFullPath(Path.Combine(runtime, "..", "..", "..", OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet"));
        return File.Exists(muxer)
            ? muxer
            : Executables.Find("dotnet") ?? throw new ProvisioningException("Cannot find the dotnet program; put it on PATH.");
    }
}
