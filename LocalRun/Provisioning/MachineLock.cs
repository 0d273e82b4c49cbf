using LocalRun.Processes;

namespace LocalRun.Provisioning;

/// <summary>Keeps two of our processes (test projects run side by side) from installing at the same time.</summary>
internal static class MachineLock
{
    /// <summary>Waits for the lock; dispose to give it back. The system gives it back when the process dies.</summary>
    public static async Task<IDisposable> TakeAsync(IProgress<string>? progress, CancellationToken cancellationToken)
    {
        var path = Path.Combine(Caches.Directory(), "install.lock");
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.None);
            }
            catch (IOException) when (attempt < 3000)
            {
                if (attempt == 20)
                    progress?.Report("Waiting for another process that is installing …");
                await Task.Delay(200, cancellationToken).ConfigureAwait(false);
            }
            catch (IOException e)
            {
                throw new ProvisioningException($"Another process has held {path} for ten minutes.", e);
            }
        }
    }
}
