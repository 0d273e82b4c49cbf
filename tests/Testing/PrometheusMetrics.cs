using System.Globalization;
using System.Text.RegularExpressions;

namespace Testing;

/// <summary>
/// Reads Prometheus' text format, version 0.0.4, and takes nothing that a strict reader would not: each metric with HELP and
/// TYPE before its samples and all of them together, no series twice, counters named so, histograms complete and cumulative.
/// </summary>
public sealed partial class PrometheusMetrics
{
    private readonly Dictionary<string, Family> _families = [];

    private PrometheusMetrics()
    {
    }

    /// <summary>The names, in order.</summary>
    public IEnumerable<string> Names => _families.Keys;

    /// <summary>Reads a whole answer.</summary>
    /// <exception cref="FormatException">It breaks a rule; the message has the line.</exception>
    public static PrometheusMetrics Parse(string text)
    {
        if (!text.EndsWith('\n')) throw new FormatException("the last line has no end");
        var metrics = new PrometheusMetrics();
        Family? current = null;
        string? help = null;
        foreach (var line in text[..^1].Split('\n'))
        {
            if (HelpLine().Match(line) is { Success: true } helpLine)
            {
                help = helpLine.Groups["name"].Value;
            }
            else if (TypeLine().Match(line) is { Success: true } typeLine)
            {
                var name = typeLine.Groups["name"].Value;
                if (help != name) throw new FormatException($"no HELP before: {line}");
                current = new Family(name, typeLine.Groups["type"].Value);
                if (!metrics._families.TryAdd(name, current)) throw new FormatException($"a second time: {line}");
                if (current.Type == "counter" && !name.EndsWith("_total", StringComparison.Ordinal)) throw new FormatException($"a counter without _total: {line}");
            }
            else if (SampleLine().Match(line) is { Success: true } sample)
            {
                if (current is null || !current.Has(sample.Groups["name"].Value)) throw new FormatException($"a sample apart from its metric: {line}");
                var labels = new SortedDictionary<string, string>(StringComparer.Ordinal);
                foreach (Match label in Label().Matches(sample.Groups["labels"].Value))
                {
                    var value = label.Groups["value"].Value.Replace("\\n", "\n", StringComparison.Ordinal).Replace("\\\"", "\"", StringComparison.Ordinal).Replace("\\\\", "\\", StringComparison.Ordinal);
                    if (!labels.TryAdd(label.Groups["name"].Value, value)) throw new FormatException($"a label twice: {line}");
                }
                if (!current.Samples.TryAdd(Key(sample.Groups["name"].Value, labels), Value(sample.Groups["value"].Value))) throw new FormatException($"a series twice: {line}");
                current.Series.Add((sample.Groups["name"].Value, labels, Value(sample.Groups["value"].Value)));
            }
            else
            {
                throw new FormatException($"not a line of the format: {line}");
            }
        }
        foreach (var family in metrics._families.Values)
        {
            if (family.Samples.Count == 0) throw new FormatException($"{family.Name} has no samples");
            if (family.Type == "histogram") family.CheckHistograms();
        }
        return metrics;
    }

    /// <summary>counter, gauge or histogram.</summary>
    public string TypeOf(string name) => _families[name].Type;

    /// <summary>The value of one series, which has exactly these labels.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public double this[string name, params ReadOnlySpan<(string Name, string Value)> labels]
    {
        get
        {
            var sorted = new SortedDictionary<string, string>(StringComparer.Ordinal);
            foreach (var (label, value) in labels) sorted.Add(label, value);
            foreach (var family in _families.Values)
                if (family.Has(name) && family.Samples.TryGetValue(Key(name, sorted), out var found)) return found;
            throw new KeyNotFoundException($"no series {Key(name, sorted)}");
        }
    }

    private static string Key(string name, SortedDictionary<string, string> labels) => $"{name}{{{string.Join(",", labels.Select(l => $"{l.Key}={l.Value}"))}}}";

    private static double Value(string text) => text switch
    {
        "+Inf" => double.PositiveInfinity,
        "-Inf" => double.NegativeInfinity,
        _ => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture),
    };

    [GeneratedRegex(@"^# HELP (?<name>[a-zA-Z_:][a-zA-Z0-9_:]*) (?<text>([^\\]|\\\\|\\n)+)$")]
    private static partial Regex HelpLine();

    [GeneratedRegex("^# TYPE (?<name>[a-zA-Z_:][a-zA-Z0-9_:]*) (?<type>counter|gauge|histogram)$")]
    private static partial Regex TypeLine();

    [GeneratedRegex("""^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?<labels>[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\\\|\\"|\\n)*"(,[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\\\|\\"|\\n)*")*)\})? (?<value>[+-]Inf|NaN|-?[0-9.]+(E[+-]?[0-9]+)?)$""")]
    private static partial Regex SampleLine();

    [GeneratedRegex("""(?<name>[a-zA-Z_][a-zA-Z0-9_]*)="(?<value>([^"\\]|\\\\|\\"|\\n)*)"(,|$)""")]
    private static partial Regex Label();

    private sealed class Family(string name, string type)
    {
        public string Name => name;

        public string Type => type;

        public Dictionary<string, double> Samples { get; } = [];

        public List<(string Name, SortedDictionary<string, string> Labels, double Value)> Series { get; } = [];

        public bool Has(string series) => type == "histogram"
            ? series == $"{name}_bucket" || series == $"{name}_sum" || series == $"{name}_count"
            : series == name;

        public void CheckHistograms()
        {
            foreach (var one in Series.GroupBy(s => Key(name, new SortedDictionary<string, string>(s.Labels.Where(l => l.Key != "le").ToDictionary(), StringComparer.Ordinal))))
            {
                var buckets = one.Where(s => s.Name == $"{name}_bucket").Select(s => (Bound: Value(s.Labels["le"]), s.Value)).ToArray();
                if (!buckets.Select(b => b.Bound).SequenceEqual(buckets.Select(b => b.Bound).Order())) throw new FormatException($"{one.Key}: bounds out of order");
                if (!buckets.Select(b => b.Value).SequenceEqual(buckets.Select(b => b.Value).Order())) throw new FormatException($"{one.Key}: counts are not cumulative");
                if (buckets is not [.., (double.PositiveInfinity, _)]) throw new FormatException($"{one.Key}: no +Inf");
                if (one.Single(s => s.Name == $"{name}_count").Value != buckets[^1].Value) throw new FormatException($"{one.Key}: _count is not the last bucket");
                _ = one.Single(s => s.Name == $"{name}_sum");
            }
        }
    }
}
