using Npgsql;

namespace ServiceDefaults.Database;

/// <summary>The trace that a connection's statements belong to, until it is disposed.</summary>
/// <param name="connection">The connection; null when there is no trace.</param>
internal sealed class SharedTraceContext(NpgsqlConnection? connection) : IAsyncDisposable
{
    // To PostgreSQL itself it is a custom parameter like any other, which nobody reads.
    private const string Assignment = "SET pooler.traceparent = ";

    /// <summary>A command of ours, which is no span of its own.</summary>
    public static bool IsOwn(NpgsqlCommand command) => command.CommandText.StartsWith(Assignment, StringComparison.Ordinal);

    public async ValueTask SetAsync(string? traceParent, CancellationToken cancellationToken)
    {
        if (connection is null)
            return;
        await using var command = new NpgsqlCommand($"{Assignment}'{traceParent}'", connection);
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await SetAsync(null, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception error) when (error is NpgsqlException or InvalidOperationException)
        {
            // The connection is closed, or its transaction has failed and takes the assignment back when it ends.
        }
    }
}
