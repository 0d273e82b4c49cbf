using System.Text.RegularExpressions;
using Npgsql;
using Pooler.Engine.Configuration;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Pooling;

/// <summary>What an operator can read in the log while clients come, work and go.</summary>
public sealed class LogTests(PostgresForPooler postgres) : PoolerTest(postgres)
{
    [Theory, MemberData(nameof(Backends))]
    public async Task Clients_and_servers_come_and_go_with_a_reason(Variant variant)
    {
        var database = await NewDatabaseAsync();
        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(Postgres, variant), log);

        using (var client = await pooler.LoginAsync(database)) await client.Terminate().SendAsync();
        var name = $"{database}/{PostgresForPooler.Trusted}@127\\.0\\.0\\.1";
        var login = await LineAsync(log, $@"^C-(0x[0-9a-f]+): {name}:(\d+) login attempt: db={database} user={PostgresForPooler.Trusted} tls=no replication=no$");
        var (id, port) = (login.Groups[1].Value, login.Groups[2].Value);
        await LineAsync(log, $@"^C-{id}: {name}:{port} closing because: client close request \(age=\d+s\)$");
        var server = await LineAsync(log, $@"^S-(0x[0-9a-f]+): {name}:{Postgres.Server.Port} new connection to server \(from 127\.0\.0\.1:\d+\)$");
        await pooler.Engine.PauseAsync(database, Cancelled);
        await LineAsync(log, $@"^S-{server.Groups[1].Value}: {name}:{Postgres.Server.Port} closing because: .+ \(age=\d+s\)$");
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_client_that_vanishes_is_told_from_one_that_says_goodbye(Variant variant)
    {
        var database = await NewDatabaseAsync();
        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(Postgres, variant), log);

        using (await pooler.LoginAsync(database)) await LineAsync(log, $"login attempt: db={database}");

        await LineAsync(log, $@"^C-0x[0-9a-f]+: {database}/.* closing because: client unexpected eof \(age=");
    }

    [Fact]
    public async Task Every_period_ends_with_a_line_of_figures()
    {
        var database = await NewDatabaseAsync();
        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(Postgres, AnyVariant, s => s with { StatsPeriod = 1 }), log);
        using var client = await pooler.LoginAsync(database);

        var figures = new Regex(
            @"^stats: [1-9]\d* xacts/s, [1-9]\d* queries/s, \d+ client parses/s, \d+ server parses/s, \d+ binds/s, \d+ client logins/s, in [1-9]\d* B/s, out [1-9]\d* B/s, xact [1-9]\d* us, query [1-9]\d* us, wait \d+ us$");
        await Eventually.TrueAsync(async () =>
        {
            for (var i = 0; i < 10; i++) await client.ScalarAsync("SELECT 1");
            return log.Lines.Any(l => figures.IsMatch(l));
        }, cancellationToken: Cancelled);
    }

    [Fact]
    public async Task Connections_and_figures_can_be_kept_out_of_the_log()
    {
        var database = await NewDatabaseAsync();
        using var log = new RecordingLog();
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(
            Postgres, AnyVariant, s => s with { LogConnections = false, LogDisconnections = false }), log);

        using (var client = await pooler.LoginAsync(database)) await client.Terminate().SendAsync();
        await Eventually.TrueAsync(() => pooler.Engine.Snapshot().Clients == 0, cancellationToken: Cancelled);
        await pooler.Engine.PauseAsync(database, Cancelled);

        // Which database has come up is said in any case.
        Assert.DoesNotContain(log.Lines, l => l.Contains($"{database}/", StringComparison.Ordinal) && !l.Contains("auto-database", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Passwords_and_stored_secrets_stay_out_of_the_log()
    {
        var database = await NewDatabaseAsync();
        using var log = new RecordingLog();
        const string wrong = "a wrong password";
        await using var pooler = RunningPooler.Start(RunningPooler.Configuration(
            Postgres, AnyVariant, s => s with { AuthType = AuthType.ScramSha256 },
            d => d with { User = PostgresForPooler.PlainUser, Password = PostgresForPooler.Password }), log);
        var right = new NpgsqlConnectionStringBuilder(pooler.ConnectionString(database))
        {
            Username = Postgres.Server.User, Password = Postgres.Server.Password,
        };
        await using (var connection = new NpgsqlConnection(right.ConnectionString)) await connection.OpenAsync(Cancelled);
        await using (var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(right.ConnectionString) { Password = wrong }.ConnectionString))
            await Assert.ThrowsAsync<PostgresException>(() => connection.OpenAsync(Cancelled));

        await LineAsync(log, $"^C-0x[0-9a-f]+: {database}/{Postgres.Server.User}@.* login failed: ");
        await LineAsync(log, $"^S-0x[0-9a-f]+: {database}/{PostgresForPooler.PlainUser}@.* new connection to server");
        Assert.DoesNotContain(log.Lines, l => l.Contains(wrong, StringComparison.Ordinal)
            || l.Contains(Postgres.Server.Password, StringComparison.Ordinal) || l.Contains(PostgresForPooler.Password, StringComparison.Ordinal));
    }

    private static async Task<Match> LineAsync(RecordingLog log, string pattern)
    {
        await Eventually.TrueAsync(
            () => log.Lines.Any(l => Regex.IsMatch(l, pattern)), cancellationToken: Cancelled, text: pattern);
        return log.Lines.Select(l => Regex.Match(l, pattern)).First(m => m.Success);
    }
}
