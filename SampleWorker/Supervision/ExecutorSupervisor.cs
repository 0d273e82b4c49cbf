using System.Diagnostics;
using SampleWorker.Execution;

namespace SampleWorker.Supervision;

/// <summary>
/// Keeps one executing process alive: starts it, replaces it when it has done its number of tasks, and restarts it when
/// it dies. A process of its own because what a long-lived process leaks (memory, handles, native heaps, threads stuck
/// in a library) only the end of the process gives back; that is what Celery's max-tasks-per-child is for.
/// </summary>
/// <remarks>
/// A successor starts when its predecessor has ended, never beside it, so that the concurrency limits hold at all times.
/// The executor reads its standard input and drains when that ends: on a stop the supervisor closes it, and when the
/// supervisor is killed the system does, so no executor outlives its worker by more than its running tasks.
/// </remarks>
internal sealed partial class ExecutorSupervisor(
    WorkerOptions options, IHostEnvironment environment, ILogger<ExecutorSupervisor> logger) : BackgroundService
{
    private static readonly TimeSpan FirstRestartDelay = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan MaxRestartDelay = TimeSpan.FromSeconds(30);

    // An executor that ran this long before it died is restarted without the delay of those that die at once.
    private static readonly TimeSpan Settled = TimeSpan.FromSeconds(30);

    // Beyond the time its tasks have: cancelling, handing back, flushing telemetry.
    private static readonly TimeSpan ExitMargin = TimeSpan.FromSeconds(6);

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var delay = FirstRestartDelay;
        string? predecessor = null;
        for (var generation = 0; !stoppingToken.IsCancellationRequested; generation++)
        {
            var identity = new ExecutorIdentity($"{options.Name}/{Guid.CreateVersion7():N}", generation, predecessor);
            var started = Stopwatch.GetTimestamp();
            int exitCode;
            using (var process = Start(identity))
            {
                LogStarted(process.Id, generation);
                exitCode = await WaitAsync(process, stoppingToken);
            }

            if (stoppingToken.IsCancellationRequested)
                return;
            if (exitCode == ExecutorExit.Recycled)
            {
                predecessor = null;
                delay = FirstRestartDelay;
                continue;
            }

            if (Stopwatch.GetElapsedTime(started) > Settled)
                delay = FirstRestartDelay;
            LogDied(exitCode, delay);
            predecessor = identity.Consumer;
            try
            {
                await Task.Delay(delay, stoppingToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            delay = TimeSpan.FromTicks(Math.Min(delay.Ticks * 2, MaxRestartDelay.Ticks));
        }
    }

    private Process Start(ExecutorIdentity identity)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { UseShellExecute = false, RedirectStandardInput = true };
        // Started as "dotnet SampleWorker.dll" the process is dotnet, else it is the application's own executable.
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
            start.ArgumentList.Add(typeof(ExecutorSupervisor).Assembly.Location);
        foreach (var argument in Environment.GetCommandLineArgs().Skip(1))
            start.ArgumentList.Add(argument);
        foreach (var (key, value) in ExecutorProcess.Environment(options.Name, identity))
            start.Environment[key] = value;
        // A host without HTTP does not read ASPNETCORE_ENVIRONMENT.
        start.Environment["DOTNET_ENVIRONMENT"] = environment.EnvironmentName;
        return Process.Start(start) ?? throw new InvalidOperationException("The executor did not start.");
    }

    private async Task<int> WaitAsync(Process process, CancellationToken stoppingToken)
    {
        try
        {
            await process.WaitForExitAsync(stoppingToken);
            return process.ExitCode;
        }
        catch (OperationCanceledException)
        {
            process.StandardInput.Close();
        }

        try
        {
            await process.WaitForExitAsync(CancellationToken.None).WaitAsync(options.ShutdownLimit + ExitMargin);
        }
        catch (TimeoutException)
        {
            LogKilled(process.Id);
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
        }

        return process.ExitCode;
    }

    /// <summary>How long stopping may take in all.</summary>
    public static TimeSpan StopLimit(WorkerOptions options) => options.ShutdownLimit + ExitMargin + TimeSpan.FromSeconds(2);

    [LoggerMessage(LogLevel.Information, "Started executor {ProcessId}, generation {Generation}")]
    private partial void LogStarted(int processId, int generation);

    [LoggerMessage(LogLevel.Error, "The executor ended with exit code {ExitCode}; restarting it in {Delay}")]
    private partial void LogDied(int exitCode, TimeSpan delay);

    [LoggerMessage(LogLevel.Error, "Executor {ProcessId} did not stop in time and is killed; its tasks will be taken over")]
    private partial void LogKilled(int processId);
}
