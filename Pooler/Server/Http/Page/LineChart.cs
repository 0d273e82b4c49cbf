using System.Globalization;
using System.Text;

namespace Pooler.Server.Http.Page;

/// <summary>A line of a chart: one value per interval of the pool's history, NaN where there is none.</summary>
/// <param name="Name">What it is called in the legend.</param>
/// <param name="Style">CSS class.</param>
/// <param name="Values">As many as there are moments.</param>
internal sealed record ChartLine(string Name, string Style, IReadOnlyList<double> Values)
{
    /// <summary>The space below it is filled.</summary>
    public bool IsArea { get; init; }
}

/// <summary>
/// Figures over the last minutes as inline SVG. Labels are HTML beside it: text in a picture that is stretched to the
/// width of the screen would be stretched, too.
/// </summary>
internal static class LineChart
{
    private const int Width = 900;
    private const int Height = 200;

    /// <summary>Draws it.</summary>
    /// <param name="title">What it shows.</param>
    /// <param name="moments">When the values were; the last is now.</param>
    /// <param name="say">A value with its unit.</param>
    /// <param name="least">The height of the chart, when no value is larger.</param>
    /// <param name="lines">What to draw.</param>
    public static HtmlText Draw(string title, IReadOnlyList<DateTimeOffset> moments, Func<double, string> say, double least, params ChartLine[] lines)
    {
        var top = RoundUp(Math.Max(least, lines.SelectMany(l => l.Values).Where(double.IsFinite).DefaultIfEmpty(0).Max()));
        // A young pool gets more room.
        var minutes = moments[^1] - moments[0] <= TimeSpan.FromMinutes(3) ? 3 : 15;
        var xs = moments.Select(m => Width - (int)Math.Round((moments[^1] - m).TotalMinutes / minutes * Width)).ToArray();
        var legend = new HtmlText();
        foreach (var line in lines)
            legend.Add($"""<span class="key {line.Style}">{line.Name} <b>{Say(Last(line), say)}</b></span>""");
        var drawing = new HtmlText();
        foreach (var line in lines)
        {
            if (line.IsArea) drawing.Add($"""<path class="area {line.Style}" d="{Area(xs, line.Values, top)}"/>""");
            drawing.Add($"""<path class="line {line.Style}" d="{Path(xs, line.Values, top)}"/>""");
        }
        return new HtmlText().Add($"""
            <figure class="chart"><figcaption><span class="title">{title}</span> {legend}</figcaption>
            <div class="plot"><span class="highest">{say(top)}</span><span class="middle">{say(top / 2)}</span>
            <svg viewBox="0 0 {Width} {Height}" preserveAspectRatio="none" role="img" aria-label="{Tell(title, moments, lines, say)}">
            <path class="grid" d="M0 1H{Width}M0 100H{Width}M0 199H{Width}M0 0V200M300 0V200M600 0V200"/>{drawing}</svg></div>
            <div class="times" aria-hidden="true"><span>{minutes} min ago</span><span>{minutes * 2 / 3}</span><span>{minutes / 3}</span><span>now</span></div></figure>
            """);
    }

    /// <summary>What one sees in the picture, in words.</summary>
    private static string Tell(string title, IReadOnlyList<DateTimeOffset> moments, ChartLine[] lines, Func<double, string> say)
    {
        var text = new StringBuilder(title).Append(':');
        foreach (var line in lines)
        {
            var highest = -1;
            for (var i = 0; i < line.Values.Count; i++)
                if (double.IsFinite(line.Values[i]) && (highest < 0 || line.Values[i] > line.Values[highest])) highest = i;
            text.Append(CultureInfo.InvariantCulture, $" {line.Name} {Say(Last(line), say)} now");
            if (highest >= 0) text.Append(CultureInfo.InvariantCulture, $", at most {say(line.Values[highest])} at {moments[highest].UtcDateTime:HH:mm:ss} UTC");
            text.Append(';');
        }
        text[^1] = '.';
        return text.ToString();
    }

    private static double Last(ChartLine line) => line.Values.Count > 0 ? line.Values[^1] : double.NaN;

    private static string Say(double value, Func<double, string> say) => double.IsFinite(value) ? say(value) : "–";

    /// <summary>1, 2 or 5 times a power of ten.</summary>
    private static double RoundUp(double highest)
    {
        var power = Math.Pow(10, Math.Floor(Math.Log10(highest)));
        return (highest / power) switch
        {
            <= 1 => power,
            <= 2 => 2 * power,
            <= 5 => 5 * power,
            _ => 10 * power,
        };
    }

    private static int Y(double value, double top) => Height - 2 - (int)Math.Round(value / top * (Height - 4));

    /// <summary>Points of one straight piece are left out; lines break where there is no value.</summary>
    private static string Path(int[] xs, IReadOnlyList<double> values, double top)
    {
        var path = new StringBuilder();
        for (var i = 0; i < values.Count; i++)
        {
            if (!double.IsFinite(values[i])) continue;
            var y = Y(values[i], top);
            var begins = i == 0 || !double.IsFinite(values[i - 1]);
            var ends = i == values.Count - 1 || !double.IsFinite(values[i + 1]);
            if (begins) path.Append(CultureInfo.InvariantCulture, $"M{xs[i]} {y}");
            // A value alone is a dot: a line of no length with round ends.
            if (begins && ends) path.Append("h0");
            else if (!begins && (ends || y != Y(values[i - 1], top) || y != Y(values[i + 1], top))) path.Append(CultureInfo.InvariantCulture, $"L{xs[i]} {y}");
        }
        return path.ToString();
    }

    private static string Area(int[] xs, IReadOnlyList<double> values, double top)
    {
        var path = new StringBuilder();
        for (var i = 0; i < values.Count;)
        {
            if (!double.IsFinite(values[i]))
            {
                i++;
                continue;
            }
            var first = i;
            path.Append(CultureInfo.InvariantCulture, $"M{xs[i]} {Height}");
            for (; i < values.Count && double.IsFinite(values[i]); i++)
            {
                var y = Y(values[i], top);
                if (i == first || i == values.Count - 1 || y != Y(values[i - 1], top) || !double.IsFinite(values[i + 1]) || y != Y(values[i + 1], top))
                    path.Append(CultureInfo.InvariantCulture, $"L{xs[i]} {y}");
            }
            path.Append(CultureInfo.InvariantCulture, $"L{xs[i - 1]} {Height}Z");
        }
        return path.ToString();
    }
}
