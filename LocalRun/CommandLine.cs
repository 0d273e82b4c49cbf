using System.CommandLine;
using System.Diagnostics;
using System.Runtime.InteropServices;
using LocalRun.Health;
using LocalRun.Stacks;
using LocalRun.Terminal;

namespace LocalRun;

/// <summary>The program's arguments, and what they make it do.</summary>
internal static class CommandLine
{
    private const int Success = 0;
    private const int Failure = 1;
    private const int Usage = 2;

    private const string ManifestName = "aspire-manifest.json";

    private static readonly Option<bool> Check = new("--check") { Description = "Check the health of every service of the running stack; exit code 0 when all are well." };
    private static readonly Option<bool> Load = new("--load-test") { Description = "Send 100 requests, 50 at a time, to the running stack's web service; without a running stack, start one for it." };
    private static readonly Option<bool> Direct = new("--direct") { Description = "Leave the pool out: the services use the database directly." };
    private static readonly Option<bool> NoBuild = new("--no-build") { Description = "Run the projects as they were built before." };
    private static readonly Option<string?> Manifest = new("--manifest") { Description = $"The manifest to run. Default: {ManifestName} of the repository.", HelpName = "FILE" };
    private static readonly Option<int?> Instance = new("--instance") { Description = "With --check or --load-test: the process id of the stack's runner, when several run. Default: the youngest.", HelpName = "PID" };

    /// <summary>Does what the arguments say.</summary>
    /// <returns>0: done, all well. 1: something failed. 2: the arguments are wrong.</returns>
    public static async Task<int> RunAsync(string[] arguments, Screen screen)
    {
        var root = new RootCommand("Runs an Aspire manifest as local processes: PostgreSQL, Redis, the pooler and the samples, without Aspire and without containers.")
        {
            Check, Load, Direct, NoBuild, Manifest, Instance,
        };
        var parsed = root.Parse(arguments);
        var errors = parsed.Errors.Select(error => error.Message).ToList();
        if (parsed.GetValue(Check) && (parsed.GetValue(Load) || parsed.GetValue(Direct)))
            errors.Add("--check goes with neither --load-test nor --direct.");
        if (errors.Count > 0)
        {
            foreach (var error in errors)
                screen.Error(error);
            screen.Line();
            await root.Parse("--help").InvokeAsync();
            return Usage;
        }

        if (parsed.Action is not null)
            return await parsed.InvokeAsync();

        using var stop = new CancellationTokenSource();
        using var signals = Signals(stop, screen);
        try
        {
            var manifest = ManifestPath(parsed.GetValue(Manifest));
            var options = new StackOptions(manifest, parsed.GetValue(Direct), !parsed.GetValue(NoBuild));
            var wellAndGood = parsed.GetValue(Check) ? await CheckAsync(manifest, parsed.GetValue(Instance), screen, stop.Token)
                : parsed.GetValue(Load) ? await LoadTestAsync(options, parsed.GetValue(Instance), screen, stop.Token)
                : await StandAsync(options, screen, stop.Token);
            return wellAndGood ? Success : Failure;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            screen.Report("Stopped.");
            return Failure;
        }
        catch (Exception e)
        {
            screen.Failure(e);
            return Failure;
        }
    }

    private static async Task<bool> StandAsync(StackOptions options, Screen screen, CancellationToken stop)
    {
        var stack = await Stack.StartAsync(options, screen, stop);
        await using (stack)
        {
            stack.Describe();
            screen.ReleaseLogs();
            try
            {
                await stack.WatchAsync(stop);
                screen.Error("Every service has ended.");
                return false;
            }
            catch (OperationCanceledException)
            {
                screen.Report("Stopping …");
            }
        }

        screen.Report("Everything has stopped.");
        return true;
    }

    private static async Task<bool> CheckAsync(string manifest, int? instance, Screen screen, CancellationToken stop) =>
        await HealthCheck.RunAsync(
            Find(manifest, instance, screen) ?? throw new StackException("No stack of this clone is running. Start one: dotnet run --project LocalRun"),
            screen, stop);

    private static async Task<bool> LoadTestAsync(StackOptions options, int? instance, Screen screen, CancellationToken stop)
    {
        // A running stack is what it is; only one that we start ourselves can be without the pool.
        if (!options.Direct && Find(options.Manifest, instance, screen) is { } running)
            return await LoadTest.RunAsync(WebOf(running), screen, stop);

        screen.Report(options.Direct ? "Starting a stack without the pool for the load test." : "No stack is running; starting one for the load test.");
        var stack = await Stack.StartAsync(options, screen, stop);
        await using (stack)
            return await LoadTest.RunAsync(WebOf(stack.State), screen, stop);
    }

    private static string WebOf(StackState state) =>
        state.WebUrl ?? throw new StackException("The manifest has no service with an external http binding, and none named web.");

    private static StackState? Find(string manifest, int? instance, Screen screen)
    {
        var running = StackState.Running(manifest);
        if (instance is { } id)
            return running.FirstOrDefault(state => state.ProcessId == id) ?? throw new StackException($"No stack of this clone is run by process {id}.");
        if (running.Count > 1)
            screen.Report($"{running.Count} stacks of this clone are running ({string.Join(", ", running.Select(state => state.ProcessId))}); this is {running[0].ProcessId}. Choose with --instance.");
        return running.Count > 0 ? running[0] : null;
    }

    private static string ManifestPath(string? given)
    {
        if (given is not null)
            return File.Exists(given) ? Path.GetFullPath(given) : throw new StackException($"There is no manifest {given}.");
        return Above(Environment.CurrentDirectory) ?? Above(AppContext.BaseDirectory)
            ?? throw new StackException($"There is no {ManifestName} here or in a folder above. Name one with --manifest FILE.");

        static string? Above(string start)
        {
            for (var directory = new DirectoryInfo(start); directory is not null; directory = directory.Parent)
            {
                var path = Path.Combine(directory.FullName, ManifestName);
                if (File.Exists(path))
                    return path;
            }

            return null;
        }
    }

    // The first signal stops in order. A second one, from somebody who won't wait, leaves the rest to the orphan guard;
    // but "dotnet run" passes on what the terminal may have sent us already, so two at once are one.
    private static SignalRegistrations Signals(CancellationTokenSource stop, Screen screen)
    {
        var first = 0L;
        return new(
        [
            .. new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP, PosixSignal.SIGQUIT }.Select(signal =>
                PosixSignalRegistration.Create(signal, context =>
                {
                    context.Cancel = true;
                    if (Interlocked.CompareExchange(ref first, Stopwatch.GetTimestamp(), 0) is var earlier and not 0)
                    {
                        if (Stopwatch.GetElapsedTime(earlier) < TimeSpan.FromSeconds(1))
                            return;
                        screen.Error("Stopped at once; the services are being killed.");
                        Environment.Exit(Failure);
                    }

                    stop.Cancel();
                })),
        ]);
    }

    private sealed class SignalRegistrations(IReadOnlyList<PosixSignalRegistration> registrations) : IDisposable
    {
        public void Dispose()
        {
            foreach (var registration in registrations)
                registration.Dispose();
        }
    }
}
