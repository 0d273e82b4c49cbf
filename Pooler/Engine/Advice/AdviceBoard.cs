namespace Pooler.Engine.Advice;

/// <summary>
/// What is advised at the moment. Keeps findings from flapping: one appears when as many looks in a row as its rule wants
/// have found it, and goes when none has for half a minute.
/// </summary>
internal sealed class AdviceBoard
{
    // Looks; half a minute with one every five seconds.
    private const int Patience = 6;

    // Looks after which another answer to the same question is believed.
    private const int Conviction = 3;

    private readonly Dictionary<(string Rule, string Database, string User, string Subject), Entry> _entries = [];

    /// <summary>What is advised, warnings first.</summary>
    public IReadOnlyList<AdviceItem> Items { get; private set; } = [];

    /// <summary>Takes in what one look has found.</summary>
    /// <returns>What has newly appeared, and what has gone.</returns>
    public (IReadOnlyList<AdviceItem> New, IReadOnlyList<AdviceItem> Gone) Update(IEnumerable<(AdviceRule Rule, Finding Finding)> found, DateTimeOffset now)
    {
        var (appeared, gone) = (new List<AdviceItem>(), new List<AdviceItem>());
        foreach (var entry in _entries.Values) entry.IsFound = false;
        foreach (var (rule, finding) in found) Note(rule, finding, now);
        foreach (var (key, entry) in _entries)
        {
            if (entry.IsFound || (entry.IsShown && ++entry.Missed < Patience)) continue;
            if (entry.IsShown) gone.Add(entry.Item);
            _entries.Remove(key);
        }
        foreach (var entry in _entries.Values.Where(e => e is { IsShown: false, IsFound: true }).ToArray())
        {
            var others = _entries.Where(o => o.Value.IsShown && AreAlternatives(o.Value, entry)).ToArray();
            if (entry.Looks < Math.Max(entry.Rule.Looks, others.Length > 0 ? Conviction : 1) || others.Any(o => o.Value.IsFound)) continue;
            foreach (var (key, other) in others)
            {
                gone.Add(other.Item);
                _entries.Remove(key);
            }
            entry.IsShown = true;
            appeared.Add(entry.Item);
        }
        Items =
        [
            .. _entries.Values.Where(e => e.IsShown).Select(e => e.Item).OrderByDescending(i => i.Level, StringComparer.Ordinal)
                .ThenBy(i => i.Database, StringComparer.Ordinal).ThenBy(i => i.User, StringComparer.Ordinal).ThenBy(i => i.Rule, StringComparer.Ordinal),
        ];
        return (appeared, gone);
    }

    private void Note(AdviceRule rule, Finding finding, DateTimeOffset now)
    {
        var key = (rule.Name, finding.Database, finding.User, finding.Subject);
        var since = _entries.TryGetValue(key, out var entry) ? entry.Item.Since : now;
        var item = new AdviceItem(
            rule.Name, finding.Level == AdviceLevel.Warning ? "warning" : "info", finding.Database, finding.User, AdviceText.OneLine(finding.Sentence),
            AdviceText.OneLine(finding.Evidence), finding.Setting, finding.Current, finding.Suggested, AdviceText.OneLine(finding.Remedy), since);
        if (entry is null) _entries[key] = entry = new Entry(rule, item);
        (entry.Item, entry.IsFound, entry.Missed) = (item, true, 0);
        entry.Looks++;
    }

    private static bool AreAlternatives(Entry a, Entry b) =>
        a.Rule.Question is { } question && question == b.Rule.Question && (a.Item.Database, a.Item.User) == (b.Item.Database, b.Item.User);

    private sealed class Entry(AdviceRule rule, AdviceItem item)
    {
        public AdviceRule Rule { get; } = rule;

        public AdviceItem Item { get; set; } = item;

        public bool IsFound { get; set; }

        public bool IsShown { get; set; }

        /// <summary>How often it was found; while it is not shown, in a row.</summary>
        public int Looks { get; set; }

        /// <summary>How many looks in a row have not found it.</summary>
        public int Missed { get; set; }
    }
}
