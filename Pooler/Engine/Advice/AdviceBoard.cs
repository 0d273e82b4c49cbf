namespace Pooler.Engine.Advice;

/// <summary>
/// What is advised at the moment. Keeps findings from flapping: one appears when as many looks in a row as its rule wants
/// have found it, and goes when none has for half a minute.
/// </summary>
internal sealed class AdviceBoard
{
    // Looks; half a minute with one every five seconds.
    private const int Patience = 6;

    private readonly Dictionary<(string Rule, string Database, string User, string Subject), Entry> _entries = [];

    /// <summary>What is advised, warnings first.</summary>
    public IReadOnlyList<AdviceItem> Items { get; private set; } = [];

    /// <summary>Takes in what one look has found.</summary>
    /// <returns>What has newly appeared, and what has gone.</returns>
    public (IReadOnlyList<AdviceItem> New, IReadOnlyList<AdviceItem> Gone) Update(IEnumerable<(AdviceRule Rule, Finding Finding)> found, DateTimeOffset now)
    {
        var (appeared, gone) = (new List<AdviceItem>(), new List<AdviceItem>());
        foreach (var entry in _entries.Values) entry.IsFound = false;
        foreach (var (rule, finding) in found)
        {
            var key = (rule.Name, finding.Database, finding.User, finding.Subject);
            if (!_entries.TryGetValue(key, out var entry)) _entries[key] = entry = new Entry(now);
            entry.IsFound = true;
            entry.Missed = 0;
            entry.Looks++;
            entry.Item = new AdviceItem(
                rule.Name, finding.Level == AdviceLevel.Warning ? "warning" : "info", finding.Database, finding.User, finding.Sentence, finding.Evidence,
                finding.Setting, finding.Current, finding.Suggested, finding.Remedy, entry.Since);
            if (entry.IsShown || entry.Looks < rule.Looks) continue;
            entry.IsShown = true;
            appeared.Add(entry.Item);
        }
        foreach (var (key, entry) in _entries)
        {
            if (entry.IsFound) continue;
            if (entry.IsShown && ++entry.Missed < Patience) continue;
            if (entry.IsShown) gone.Add(entry.Item!);
            _entries.Remove(key);
        }
        Items =
        [
            .. _entries.Values.Where(e => e.IsShown).Select(e => e.Item!).OrderByDescending(i => i.Level, StringComparer.Ordinal)
                .ThenBy(i => i.Database, StringComparer.Ordinal).ThenBy(i => i.User, StringComparer.Ordinal).ThenBy(i => i.Rule, StringComparer.Ordinal),
        ];
        return (appeared, gone);
    }

    private sealed class Entry(DateTimeOffset since)
    {
        public DateTimeOffset Since { get; } = since;

        public AdviceItem? Item { get; set; }

        public bool IsFound { get; set; }

        public bool IsShown { get; set; }

        public int Looks { get; set; }

        public int Missed { get; set; }
    }
}
