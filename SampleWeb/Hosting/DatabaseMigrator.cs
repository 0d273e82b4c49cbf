using System.Net.Sockets;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql;
using SampleWeb.Data;

namespace SampleWeb.Hosting;

/// <summary>
/// Brings the database up to date while the web is already listening, and waits for it when it isn't there yet. Until
/// then pages answer 503 and <c>/health</c> is unhealthy.
/// </summary>
/// <remarks>
/// <para>
/// Several instances may start at once, on one database, through a pool in transaction mode. A session-level advisory
/// lock (<c>pg_advisory_lock</c>) does not work there: it belongs to the server connection, which after the statement
/// goes back to the pool with the lock still held; the next statement may run on another one, and the unlock with it.
/// EF Core's own lock for Npgsql is <c>LOCK TABLE "__EFMigrationsHistory"</c>, held by a transaction and so fine in
/// itself; but it can only be taken once that table exists, creating it is not covered, and neither is our seed data.
/// </para>
/// <para>
/// So everything, from the look at the history to the seed data, happens in one transaction that begins with
/// <c>pg_advisory_xact_lock</c>: a transaction keeps its server connection to the end, and its end releases the lock
/// whatever happens. DDL is transactional in PostgreSQL, so a process killed in between leaves nothing half done. And
/// nothing in it asks for a second connection: the other instances, waiting for the lock, may hold all the pool has.
/// </para>
/// </remarks>
internal sealed partial class DatabaseMigrator(
    NpgsqlDataSource dataSource,
    DatabaseSettings settings,
    DatabaseState state,
    IKeyManager keys,
    SharedKeyRepository keyRepository,
    TimeProvider time,
    IHostApplicationLifetime lifetime,
    ILogger<DatabaseMigrator> logger) : BackgroundService
{
    // An arbitrary number, the same for all instances.
    private const long MigrationLock = 0x5072_6963_6557_6174;

    private static readonly TimeSpan FirstDelay = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(5);

    // The framework's own default for keys it makes by itself.
    private static readonly TimeSpan KeyLifetime = TimeSpan.FromDays(90);

    // Long enough for another instance that migrates a large database first.
    private static readonly TimeSpan CommandTimeout = TimeSpan.FromMinutes(5);

    /// <summary>The options of a context that migrates: in one transaction that must not be retried in the middle.</summary>
    internal static DbContextOptions<ShopContext> Options(NpgsqlDataSource dataSource) =>
        new DbContextOptionsBuilder<ShopContext>()
            .UseNpgsql(dataSource, npgsql => npgsql.CommandTimeout((int)CommandTimeout.TotalSeconds))
            .ConfigureWarnings(warnings => warnings.Ignore(RelationalEventId.MigrationsUserTransactionWarning))
            .Options;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var delay = FirstDelay;
        while (true)
        {
            try
            {
                await MigrateAsync(stoppingToken);
                state.BecomeReady();
                return;
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (PostgresException error) when (IsMissingDatabase(error))
            {
                await CreateDatabaseAsync(stoppingToken);
            }
            catch (Exception error) when (MayPass(error))
            {
                LogWaiting(error.Message, delay.TotalSeconds);
            }
            catch (Exception error)
            {
                LogFailed(error);
                Environment.ExitCode = 1;
                lifetime.StopApplication();
                return;
            }

            try
            {
                await Task.Delay(delay, time, stoppingToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            delay = delay * 2 < LongestDelay ? delay * 2 : LongestDelay;
        }
    }

    private async Task MigrateAsync(CancellationToken cancellationToken)
    {
        await using var context = new ShopContext(Options(dataSource));
        await using var transaction = await context.Database.BeginTransactionAsync(cancellationToken);
        await context.Database.ExecuteSqlAsync($"SELECT pg_advisory_xact_lock({MigrationLock})", cancellationToken);

        // Before the first question about the history: a SELECT from a missing table would abort the transaction.
        await context.GetService<IHistoryRepository>().CreateIfNotExistsAsync(cancellationToken);
        var pending = (await context.Database.GetPendingMigrationsAsync(cancellationToken)).ToArray();
        if (pending.Length > 0)
        {
            var isNew = !(await context.Database.GetAppliedMigrationsAsync(cancellationToken)).Any();
            await context.Database.MigrateAsync(cancellationToken);
            if (isNew)
                await SeedData.AddAsync(context, time.GetUtcNow(), cancellationToken);
        }

        // Left alone, every instance would make a key of its own on an empty database, and for a day refuse the forms
        // that the others have served.
        if (!await context.SharedKeys.AnyAsync(cancellationToken))
        {
            using var enlisted = keyRepository.Enlist(context);
            keys.CreateNewKey(time.GetUtcNow(), time.GetUtcNow() + KeyLifetime);
        }

        await transaction.CommitAsync(cancellationToken);
        if (pending.Length > 0)
            LogMigrated(string.Join(", ", pending));
    }

    /// <summary>A published topology starts PostgreSQL without the shop's database: then whoever is first creates it.</summary>
    private async Task CreateDatabaseAsync(CancellationToken cancellationToken)
    {
        var target = new NpgsqlConnectionStringBuilder(settings.ConnectionString);
        var database = target.Database ?? target.Username ?? "";
        target.Database = "postgres";
        target.Pooling = false;
        try
        {
            await using var connection = new NpgsqlConnection(target.ConnectionString);
            await connection.OpenAsync(cancellationToken);
            await using var command = connection.CreateCommand();
            command.CommandText = $"CREATE DATABASE \"{database.Replace("\"", "\"\"")}\"";
            await command.ExecuteNonQueryAsync(cancellationToken);
            LogCreated(database);
        }
        catch (PostgresException error) when (error.SqlState
            is PostgresErrorCodes.DuplicateDatabase or PostgresErrorCodes.UniqueViolation)
        {
            // Another instance was first; two at the same instant end in a unique violation of pg_database.
        }
        catch (Exception error) when (MayPass(error) || error is PostgresException)
        {
            LogNotCreated(database, error.Message);
        }
    }

    /// <summary>Older PgBouncers pass PostgreSQL's message on, under a code of their own.</summary>
    private static bool IsMissingDatabase(PostgresException error) =>
        error.SqlState == PostgresErrorCodes.InvalidCatalogName
        || (error.SqlState == PostgresErrorCodes.ProtocolViolation
            && error.MessageText.Contains("database", StringComparison.Ordinal)
            && error.MessageText.EndsWith("does not exist", StringComparison.Ordinal));

    /// <summary>
    /// Whether waiting may help. Classes of SQLSTATE (PostgreSQL documentation, appendix A): 42 is wrong SQL or a missing
    /// right, 22 wrong data, 23 a violated constraint; all else is the server's or the pool's condition of the moment.
    /// </summary>
    private static bool MayPass(Exception error) => error switch
    {
        PostgresException postgres => postgres.SqlState[..2] is not ("42" or "22" or "23"),
        NpgsqlException or SocketException or IOException or TimeoutException => true,
        DbUpdateException or InvalidOperationException => error.InnerException is { } inner && MayPass(inner),
        _ => false,
    };

    [LoggerMessage(LogLevel.Warning, "The database isn't there yet: {Reason}; trying again in {Seconds} s")]
    private partial void LogWaiting(string reason, double seconds);

    [LoggerMessage(LogLevel.Information, "The database has been migrated: {Migrations}")]
    private partial void LogMigrated(string migrations);

    [LoggerMessage(LogLevel.Information, "Database {Database} was missing and has been created")]
    private partial void LogCreated(string database);

    [LoggerMessage(LogLevel.Warning, "Database {Database} is missing and can't be created: {Reason}")]
    private partial void LogNotCreated(string database, string reason);

    [LoggerMessage(LogLevel.Critical, "The database can't be migrated; stopping")]
    private partial void LogFailed(Exception error);
}
