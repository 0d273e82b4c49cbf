using System.Text;

namespace Pooler.Server.Http.Page;

/// <summary>
/// The page at one moment, cut into the parts that change by themselves. A part knows in which frame it was last another:
/// whoever has seen a frame gets the parts that have changed since then, however many frames it has missed.
/// </summary>
internal sealed class PageFrame
{
    private readonly Dictionary<string, Part> _parts;

    private PageFrame(long number, DateTimeOffset at, List<Part> parts)
    {
        Number = number;
        At = at;
        InOrder = parts;
        _parts = parts.ToDictionary(p => p.Id);
    }

    /// <summary>Counts up from 1.</summary>
    public long Number { get; }

    public DateTimeOffset At { get; }

    private List<Part> InOrder { get; }

    public static PageFrame Draw(PageModel model, bool isAdmin, PageFrame? previous)
    {
        var number = (previous?.Number ?? 0) + 1;
        var parts = new List<Part>();
        foreach (var part in PageDocument.Parts(model, isAdmin))
        {
            var same = previous?._parts.GetValueOrDefault(part.Id);
            if (same?.Source is null || same.Source != part.Source)
            {
                var html = part.Draw().ToString();
                same = new Part(part, html, same is not null && same.Html == html ? same.ChangedIn : number);
            }
            parts.Add(same);
        }
        return new PageFrame(number, model.At, parts);
    }

    /// <summary>What has changed since a frame, as server-sent events; always at least the time.</summary>
    /// <param name="seen">The frame's number; 0 for all there is.</param>
    /// <param name="open">The pools that are open at the watcher's; null: all. Of many pools that are closed nobody sees more than the rows.</param>
    public IEnumerable<ReadOnlyMemory<byte>> Since(long seen, IReadOnlySet<string>? open)
    {
        foreach (var part in InOrder)
            if (part.ChangedIn > seen && (open is null || part.Within is null || open.Contains(part.Within))) yield return part.Event;
        yield return Encoding.UTF8.GetBytes($"event: time\ndata: {At.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss'Z'}\n\n");
    }

    private sealed class Part(PagePart part, string html, long changedIn)
    {
        public string Id => part.Id;

        public object? Source => part.Source;

        public string? Within => part.Within;

        public string Html { get; } = html;

        public long ChangedIn { get; } = changedIn;

        // What clients have written has no line ends in it: they are encoded.
        public byte[] Event { get; } = Encoding.UTF8.GetBytes("event: part\ndata: " + html.ReplaceLineEndings("\ndata: ") + "\n\n");
    }
}
