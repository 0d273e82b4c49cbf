using System.Runtime.InteropServices;
using Pooler.Engine.Advice;
using Pooler.Engine.Configuration;
using Pooler.Engine.Telemetry.Metrics;
using Pooler.Server;
using Pooler.Server.Unix;

IgnoredSignals.Heed();
if (!CommandLine.TryParse(args, out var commandLine, out var error)) return Refuse(error!);

switch (commandLine.Action)
{
    case CommandLineAction.Version:
        Console.WriteLine(ProgramVersion.Text);
        Console.WriteLine($"{RuntimeInformation.FrameworkDescription} on {RuntimeInformation.RuntimeIdentifier}");
        return 0;
    case CommandLineAction.Help:
        Console.Write(CommandLine.Usage);
        return 0;
    case CommandLineAction.Reference:
        Console.Write(SettingsReference.Markdown());
        return 0;
    case CommandLineAction.Metrics:
        Console.Write(MetricsReference.Markdown());
        return 0;
    case CommandLineAction.Advice:
        Console.Write(AdviceReference.Markdown());
        return 0;
    case CommandLineAction.Check:
        return await new PoolerProcess(commandLine).CheckAsync();
}

if (commandLine.Daemon && !commandLine.DaemonChild)
    return OperatingSystem.IsWindows() ? Refuse("-d does not exist on Windows") : Daemon.Start(args);

if (commandLine.DaemonChild) Daemon.Detach();
return await new PoolerProcess(commandLine).RunAsync();

static int Refuse(string message)
{
    Console.Error.WriteLine($"pooler: {message}");
    Console.Error.WriteLine("Try \"pooler --help\" for more information.");
    return 1;
}
