using System.Text.RegularExpressions;
using Npgsql;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Metrics;

/// <summary>What docs/telemetry.md names is there.</summary>
[Collection(typeof(ScrapedPoolerCollection))]
public sealed partial class TelemetryDocumentTests(ScrapedPooler scraped)
{
    private static readonly string Document = File.ReadAllText(Path.Combine(Repository.Root, "docs", "telemetry.md"));

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    /// <summary>Where the exporter's figures come from: tables of the console, with their columns (or names in the first one).</summary>
    public static TheoryData<string, string> ExporterSources =>
        [.. SourceCell().Matches(Document).Select(m => new TheoryDataRow<string, string>(m.Groups[1].Value, m.Groups[2].Value))];

    [Fact]
    public async Task Every_metric_it_names_is_at_metrics()
    {
        Assert.NotEmpty(MetricsPage.NamesIn(Document));
        await scraped.KnowsAsync(Document);
    }

    [Theory, MemberData(nameof(ExporterSources))]
    public async Task The_console_has_what_pgbouncer_exporter_asks_for(string table, string columns)
    {
        await using var connection = new NpgsqlConnection(scraped.ConsoleConnectionString);
        await connection.OpenAsync(Cancelled);
        await using var command = new NpgsqlCommand($"SHOW {table}", connection);
        await using var reader = await command.ExecuteReaderAsync(Cancelled);
        var names = Enumerable.Range(0, reader.FieldCount).Select(reader.GetName).ToHashSet();
        while (await reader.ReadAsync(Cancelled))
            if (table is "LISTS" or "CONFIG") names.Add(reader.GetString(0));
        Assert.Subset(names, columns.Split(", ").ToHashSet());
    }

    [GeneratedRegex(@"\| `([A-Z_]+)`: ([\w, ]+?) \|")]
    private static partial Regex SourceCell();
}
