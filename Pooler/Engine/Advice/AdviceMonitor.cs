using Microsoft.Extensions.Logging;
using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Advice;

/// <summary>Looks at the engine with each interval of its history, beside the loops, and keeps what is to be advised.</summary>
/// <param name="look">Takes in what the rules look at; null while there is nothing to judge, as when all stands still.</param>
/// <param name="log">Told what is new and what has gone.</param>
internal sealed class AdviceMonitor(Func<IReadOnlyList<(Pool Pool, PoolSnapshot Snapshot)>, AdviceInput?> look, EngineLog log)
{
    private readonly AdviceBoard _board = new();
    private volatile IReadOnlyList<AdviceItem> _items = [];
    private int _isLooking;
    private bool _hasFailed;

    /// <summary>What is advised now, warnings first. Any thread.</summary>
    public IReadOnlyList<AdviceItem> Items => _items;

    /// <summary>Looks once.</summary>
    /// <param name="pools">The pools of the moment, as the history has taken them down: they are looked at once for both.</param>
    public void Look(IReadOnlyList<(Pool Pool, PoolSnapshot Snapshot)> pools)
    {
        // A look may take longer than the time to the next on a machine in trouble, of which this is to tell.
        if (Interlocked.Exchange(ref _isLooking, 1) != 0) return;
        try
        {
            if (look(pools) is { } input) Judge(input);
            _hasFailed = false;
        }
        catch (Exception e)
        {
            // The history goes on without. Told once: what fails now will fail at the next looks.
            if (!_hasFailed) log.AdviceFailed(e);
            _hasFailed = true;
        }
        finally
        {
            Volatile.Write(ref _isLooking, 0);
        }
    }

    private void Judge(AdviceInput input)
    {
        var found = AdviceRules.All.SelectMany(rule => rule.Find(input).Select(finding => (rule, finding))).ToArray();
        var (appeared, gone) = _board.Update(found, input.Now);
        _items = _board.Items;
        foreach (var item in appeared) Tell(item);
        foreach (var item in gone)
            if (IsLogged(item)) log.AdviceGone(item.Rule, PoolOf(item));
    }

    private void Tell(AdviceItem item)
    {
        if (!IsLogged(item)) return;
        var remedy = item.Setting.Length > 0 && item.Suggested.Length > 0 ? $"{item.Remedy} {item.Setting}: {item.Current} -> {item.Suggested}" : item.Remedy;
        log.Advice(item.Level == "warning" ? LogLevel.Warning : LogLevel.Information, item.Rule, PoolOf(item), item.Finding, item.Evidence, remedy);
    }

    private static bool IsLogged(AdviceItem item) => AdviceRules.All.First(r => r.Name == item.Rule).IsLogged;

    private static string PoolOf(AdviceItem item) =>
        item.User.Length > 0 ? $" {item.Database}/{item.User}" : item.Database.Length > 0 ? $" {item.Database}" : "";
}
