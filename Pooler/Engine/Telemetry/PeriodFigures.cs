using System.Globalization;

namespace Pooler.Engine.Telemetry;

/// <summary>The averages of one stats_period over all databases, as PgBouncer's log and systemd's status line tell them.</summary>
/// <param name="Transactions">Per second.</param>
/// <param name="Queries">Per second.</param>
/// <param name="ClientParses">Parse messages from clients per second.</param>
/// <param name="ServerParses">Parse messages to servers per second.</param>
/// <param name="Binds">Bind messages per second.</param>
/// <param name="Logins">Clients logged in per second.</param>
/// <param name="BytesIn">Bytes from clients per second.</param>
/// <param name="BytesOut">Bytes to clients per second.</param>
/// <param name="TransactionTime">Microseconds per transaction.</param>
/// <param name="QueryTime">Microseconds per query.</param>
/// <param name="WaitTime">Microseconds per server given to a client.</param>
public sealed record PeriodFigures(
    long Transactions, long Queries, long ClientParses, long ServerParses, long Binds, long Logins, long BytesIn, long BytesOut,
    long TransactionTime, long QueryTime, long WaitTime) : ILogFields
{
    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, object>> ForJson() =>
    [
        new("xacts_per_second", Transactions), new("queries_per_second", Queries), new("client_parses_per_second", ClientParses),
        new("server_parses_per_second", ServerParses), new("binds_per_second", Binds), new("client_logins_per_second", Logins),
        new("bytes_in_per_second", BytesIn), new("bytes_out_per_second", BytesOut),
        new("xact_us", TransactionTime), new("query_us", QueryTime), new("wait_us", WaitTime),
    ];

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, object>> AsAttributes() =>
        ForJson().Select(f => new KeyValuePair<string, object>("pooler.stats." + f.Key, f.Value));

    /// <inheritdoc/>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Transactions} xacts/s, {Queries} queries/s, {ClientParses} client parses/s, {ServerParses} server parses/s, {Binds} binds/s, "
        + $"{Logins} client logins/s, in {BytesIn} B/s, out {BytesOut} B/s, xact {TransactionTime} us, query {QueryTime} us, wait {WaitTime} us");
}
