using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>Keeps two of our processes (test projects run side by side) from installing or building at the same time.</summary>
internal static class MachineLock
{
    /// <summary>The lock for installing.</summary>
    public static Task<IDisposable> TakeAsync(IProgress<string>? progress, CancellationToken cancellationToken) =>
        TakeAsync("install", progress, cancellationToken);

    /// <summary>Waits for the lock of that name; dispose to give it back. The system gives it back when the process dies.</summary>
    public static async Task<IDisposable> TakeAsync(string name, IProgress<string>? progress, CancellationToken cancellationToken)
    {
        var path = Path.Combine(Caches.Directory(), name + ".lock");
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.None);
            }
            catch (IOException) when (attempt < 3000)
            {
                if (attempt == 20)
                    progress?.Report($"Waiting for another LocalRun or test that is busy with the same ({name}) …");
                await Task.Delay(200, cancellationToken).ConfigureAwait(false);
            }
            catch (IOException e)
            {
                throw new ProvisioningException($"Another process has held {path} for ten minutes.", e);
            }
        }
    }
}
