using System.Diagnostics;
using System.Text;

namespace LocalRun.Processes;

/// <summary>What a finished command left behind.</summary>
/// <param name="ExitCode">Exit code; 0 is success by convention.</param>
/// <param name="Output">Everything written to standard output.</param>
/// <param name="Error">Everything written to standard error.</param>
public sealed record CommandResult(int ExitCode, string Output, string Error)
{
    /// <summary>True when the exit code is 0.</summary>
    public bool Succeeded => ExitCode == 0;

    /// <summary>Both streams, error last, without surrounding white space: what a person needs to see when it failed.</summary>
    public string AllOutput => $"{Output.Trim()}\n{Error.Trim()}".Trim();
}

/// <summary>A command line that runs to its end, with its output captured.</summary>
/// <param name="fileName">Program name or path. Resolved through PATH.</param>
/// <param name="arguments">Arguments, unquoted. Never put a secret here: other users can read command lines.</param>
public sealed class Command(string fileName, params IEnumerable<string> arguments)
{
    private readonly List<string> _arguments = [.. arguments];

    /// <summary>Program name or path.</summary>
    public string FileName => fileName;

    /// <summary>Extra environment variables; a null value removes one.</summary>
    public Dictionary<string, string?> Environment { get; } = [];

    /// <summary>Working directory; the caller's own when null.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Text given on standard input. Standard input is closed (end of file) in any case.</summary>
    public string? Input { get; init; }

    /// <summary>Called for each line of either stream as it arrives.</summary>
    public Action<string>? OnLine { get; init; }

    /// <summary>Runs the command and waits for its end. Cancellation kills it with all its children.</summary>
    /// <exception cref="ProvisioningException">The program could not be started.</exception>
    public async Task<CommandResult> RunAsync(CancellationToken cancellationToken = default)
    {
        var info = new ProcessStartInfo(fileName, _arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = WorkingDirectory ?? "",
            UseShellExecute = false,
            CreateNoWindow = true,
        };
        foreach (var (name, value) in Environment)
        {
            if (value is null)
                info.Environment.Remove(name);
            else
                info.Environment[name] = value;
        }

        using var process = new Process { StartInfo = info };
        try
        {
            process.Start();
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new ProvisioningException($"Cannot start '{fileName}': {e.Message}", e);
        }

        try
        {
            var output = ReadAsync(process.StandardOutput, cancellationToken);
            var error = ReadAsync(process.StandardError, cancellationToken);
            await WriteInputAsync(process, cancellationToken).ConfigureAwait(false);
            await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
            return new CommandResult(process.ExitCode, await output.ConfigureAwait(false), await error.ConfigureAwait(false));
        }
        catch
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
                await process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
            }

            throw;
        }
    }

    /// <summary>Runs the command and throws when its exit code is not 0.</summary>
    /// <returns>Standard output.</returns>
    /// <exception cref="ProvisioningException">The exit code is not 0; the message has the output.</exception>
    public async Task<string> RunCheckedAsync(CancellationToken cancellationToken = default)
    {
        var result = await RunAsync(cancellationToken).ConfigureAwait(false);
        return result.Succeeded
            ? result.Output
            : throw new ProvisioningException($"'{this}' ended with exit code {result.ExitCode}:\n{result.AllOutput}");
    }

    /// <summary>The command line, for messages.</summary>
    public override string ToString() => string.Join(' ', [fileName, .. _arguments]);

    private async Task WriteInputAsync(Process process, CancellationToken cancellationToken)
    {
        try
        {
            if (Input is not null)
                await process.StandardInput.WriteAsync(Input.AsMemory(), cancellationToken).ConfigureAwait(false);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // The program ended without reading all of its input; its exit code tells the rest.
        }
    }

    private async Task<string> ReadAsync(StreamReader reader, CancellationToken cancellationToken)
    {
        var text = new StringBuilder();
        while (await reader.ReadLineAsync(cancellationToken).ConfigureAwait(false) is { } line)
        {
            text.AppendLine(line);
            OnLine?.Invoke(line);
        }

        return text.ToString();
    }
}
