using Npgsql;

namespace SampleWorker.Tasks;

/// <summary>
/// The shop's database, pooled or direct. Each piece of work is one short transaction, and no connection is held while
/// something else is waited for: a transaction pool serves many workers only if they give connections back.
/// </summary>
internal sealed class ShopDatabase(NpgsqlDataSource dataSource)
{
    /// <summary>Runs <paramref name="work"/> in a transaction and commits it.</summary>
    /// <exception cref="TaskDeferredException">The database can't be reached, is busy, or has no tables yet.</exception>
    public async Task<T> TransactAsync<T>(Func<NpgsqlConnection, Task<T>> work, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = await dataSource.OpenConnectionAsync(cancellationToken);
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            var result = await work(connection);
            await transaction.CommitAsync(cancellationToken);
            return result;
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.UndefinedTable)
        {
            throw new TaskDeferredException(
                $"The shop's tables do not exist yet, the web service creates them when it starts ({error.MessageText}).", error);
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.InvalidCatalogName)
        {
            throw new TaskDeferredException($"The shop's database does not exist yet ({error.MessageText}).", error);
        }
        catch (NpgsqlException error) when (error.IsTransient)
        {
            throw new TaskDeferredException($"The database is not available: {error.Message}", error);
        }
    }
}
