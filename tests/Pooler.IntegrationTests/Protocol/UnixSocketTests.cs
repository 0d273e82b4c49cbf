using Npgsql;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Protocol;

/// <summary>Clients of the same machine may come through a Unix socket.</summary>
public sealed class UnixSocketTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(BackendsAndLoops))]
    public async Task A_client_works_and_cancels_over_the_Unix_socket(Variant variant)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The pooler has no Unix sockets on Windows.");
        var database = await NewDatabaseAsync();
        var directory = Directory.CreateTempSubdirectory("pooler-unix-");
        try
        {
            await using (var pooler = RunningPooler.Start(Postgres, variant, s => s with { UnixSocketDir = directory.FullName }))
            {
                Assert.True(File.Exists(Path.Combine(directory.FullName, $".s.PGSQL.{pooler.EndPoint.Port}")));
                await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(pooler.ConnectionString(database))
                {
                    Host = directory.FullName,
                }.ConnectionString);
                await connection.OpenAsync(Cancelled);

                Assert.Equal(database, await ScalarAsync(connection, "SELECT current_database()::text"));
                Assert.Equal(3_000_000, ((string)(await ScalarAsync(connection, "SELECT repeat('x', 3000000)"))!).Length);

                using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
                await using var command = new NpgsqlCommand("SELECT pg_sleep(600)", connection);
                var sleeping = command.ExecuteNonQueryAsync(cancel.Token);
                await Eventually.TrueAsync(async () => await BackendsOfAsync(database, "wait_event = 'PgSleep'") == 1, cancellationToken: Cancelled);
                await cancel.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sleeping);
                Assert.Equal(1, await ScalarAsync(connection, "SELECT 1"));
            }
            Assert.Empty(directory.GetFiles());
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }
}
