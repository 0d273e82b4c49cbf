using System.Globalization;
using Pooler.Engine;

namespace Pooler.Server.Http.Page;

/// <summary>A state that a server connection of a pool can be in, as it is shown.</summary>
/// <param name="Name">PgBouncer's word.</param>
/// <param name="Style">CSS class.</param>
/// <param name="Meaning">For people.</param>
/// <param name="Of">How many there are.</param>
internal sealed record ServerStateView(string Name, string Style, string Meaning, Func<PoolSnapshot, int> Of)
{
    public static readonly IReadOnlyList<ServerStateView> All =
    [
        new("active", "s-active", "linked to a client", p => p.ServersActive),
        new("idle", "s-idle", "ready for a client", p => p.ServersIdle),
        new("used", "s-used", "idle for longer than server_check_delay: checked before its next use", p => p.ServersUsed),
        new("tested", "s-tested", "running a check or reset query", p => p.ServersTested),
        new("login", "s-login", "connecting or logging in", p => p.ServersLogin),
        new("being canceled", "s-canceled", "kept back until a cancel request has arrived", p => p.ServersBeingCanceled),
    ];
}

/// <summary>The servers of a pool by state, and the places that are free, as a bar.</summary>
internal static class ServersBar
{
    private const int Width = 1000;

    public static HtmlText Draw(PoolSnapshot pool)
    {
        var free = Math.Max(0, pool.Size - pool.Servers);
        // Servers beyond pool_size have taken places of the reserve.
        var reserve = pool.Size == 0 ? 0 : Math.Max(0, pool.Reserve - Math.Max(0, pool.Servers - pool.Size));
        var places = Math.Max(1, pool.Servers + free + reserve);
        var drawing = new HtmlText();
        var taken = 0;
        foreach (var state in ServerStateView.All) Segment(state.Style, state.Of(pool));
        Segment("s-free", free);
        Segment("s-reserve", reserve);
        return new HtmlText().Add($"""<svg class="bar" viewBox="0 0 {Width} 10" preserveAspectRatio="none" role="img" aria-label="{Tell(pool, free, reserve)}">{drawing}</svg>""");

        void Segment(string style, int count)
        {
            if (count <= 0) return;
            var (from, to) = (At(taken), At(taken += count));
            drawing.Add($"""<rect class="{style}" x="{from}" y="0" width="{to - from}" height="10"/>""");
        }

        int At(int place) => (int)((long)Width * place / places);
    }

    private static string Tell(PoolSnapshot pool, int free, int reserve)
    {
        var states = ServerStateView.All.Where(s => s.Of(pool) > 0).Select(s => $"{s.Of(pool).ToString(CultureInfo.InvariantCulture)} {s.Name}");
        var places = pool.Size == 0 ? ["no limit"] : new[] { $"{free} free of {pool.Size}" }.Concat(reserve > 0 ? [$"{reserve} in reserve"] : []);
        return "Servers: " + string.Join(", ", states.Concat(places));
    }
}
