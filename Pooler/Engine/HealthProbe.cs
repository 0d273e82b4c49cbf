using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine;

/// <summary>
/// Answers whether a server connection can be had: yes while a pool has one that is logged in; otherwise a pool is asked
/// to open one, as for a client's login.
/// </summary>
internal sealed class HealthProbe(EngineCore engine) : PoolWaiter
{
    private readonly TaskCompletionSource<HealthReport> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Pool? _pool;

    public override EventLoop WaiterLoop => engine.Loops[0];

    public override bool WaitsForWelcome => true;

    public async Task<HealthReport> RunAsync(CancellationToken cancellationToken)
    {
        if (engine.RefusesLogins is { } refusal) return new HealthReport(false, refusal.Message);
        var pools = engine.Directory.Pools.ToArray();
        var open = pools.Sum(p => p.Servers.Count(s => s.State is not (ServerState.Login or ServerState.Closed)));
        if (open > 0) return new HealthReport(true, $"{open} server connections are open");
        var databases = engine.Directory.Databases.Where(d => !d.Removed).ToArray();
        // Without any, what a PAUSE of all says of those to come.
        if (databases.Length > 0 ? databases.All(d => d.IsHeld) : engine.Directory.HoldsNew) return new HealthReport(false, "paused");

        _pool = pools.FirstOrDefault(p => !p.Database.IsHeld) ?? ChoosePool();
        if (_pool is null) return new HealthReport(true, "no database and user to try a connection with");
        engine.Loops[0].Post(static state => ((HealthProbe)state!).Begin(), this);
        try
        {
            return await _result.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            engine.Loops[0].Post(static state => ((HealthProbe)state!).GiveUp(), this);
            return new HealthReport(false, $"no server connection of {_pool.Database.Name}/{_pool.User.Name} in time");
        }
    }

    protected internal override void OnGranted(PooledServer server) => throw new InvalidOperationException("waits for the welcome only");

    protected internal override void OnWelcome() => _result.TrySetResult(new HealthReport(true, "a server connection was opened"));

    protected internal override void OnRefused(PgError error) => _result.TrySetResult(new HealthReport(false, error.Message));

    private void Begin()
    {
        _pool!.TakeOrEnqueue(this, out var refusal);
        if (refusal is not null) OnRefused(refusal);
    }

    private void GiveUp() => _pool!.Abandon(this);

    /// <summary>A pool that can be logged in to without a client: a forced user, or a user whose password is known.</summary>
    private Pool? ChoosePool()
    {
        var directory = engine.Directory;
        var user = directory.Users.FirstOrDefault(u => u.Settings.IsKnown && u.Secret is not null);
        foreach (var database in directory.Databases.Where(d => d is { Removed: false, IsHeld: false }))
        {
            if (database.Settings.User is { } forced) return directory.GetPool(database, directory.AddUser(forced));
            if (user is not null) return directory.GetPool(database, user);
            // Whoever may be asked about users can be logged in as.
            if ((database.Settings.AuthUser ?? engine.Settings.AuthUser) is { } authUser)
                return directory.GetOwnPool(database, directory.AddUser(authUser));
        }
        return user is not null && directory.FindDatabase("postgres") is { } fallback ? directory.GetPool(fallback, user) : null;
    }
}
