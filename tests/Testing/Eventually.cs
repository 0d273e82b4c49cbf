using System.Runtime.CompilerServices;

namespace Testing;

/// <summary>Waits for something to become true, by looking again and again until a deadline.</summary>
public static class Eventually
{
    private static readonly TimeSpan DefaultDeadline = TimeSpan.FromSeconds(30);

    /// <summary>Waits until the condition holds; throws <see cref="TimeoutException"/> with the condition's text.</summary>
    public static Task TrueAsync(
        Func<bool> condition, TimeSpan? within = null, CancellationToken cancellationToken = default,
        [CallerArgumentExpression(nameof(condition))] string? text = null) =>
        TrueAsync(() => Task.FromResult(condition()), within, cancellationToken, text);

    /// <summary>Waits until the condition holds. Exceptions of the condition count as "not yet"; the last is the cause of the timeout.</summary>
    public static async Task TrueAsync(
        Func<Task<bool>> condition, TimeSpan? within = null, CancellationToken cancellationToken = default,
        [CallerArgumentExpression(nameof(condition))] string? text = null)
    {
        var deadline = DateTime.UtcNow + (within ?? DefaultDeadline);
        while (true)
        {
            Exception? failure = null;
            try
            {
                if (await condition())
                    return;
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                failure = e;
            }

            if (DateTime.UtcNow > deadline)
                throw new TimeoutException($"Did not become true within {within ?? DefaultDeadline}: {text}", failure);
            await Task.Delay(20, cancellationToken);
        }
    }

    /// <summary>Waits until the assertion passes; throws its last failure.</summary>
    public static async Task PassesAsync(Func<Task> assertion, TimeSpan? within = null, CancellationToken cancellationToken = default)
    {
        var deadline = DateTime.UtcNow + (within ?? DefaultDeadline);
        while (true)
        {
            try
            {
                await assertion();
                return;
            }
            catch (Exception e) when (e is not OperationCanceledException && DateTime.UtcNow < deadline)
            {
                await Task.Delay(20, cancellationToken);
            }
        }
    }
}
