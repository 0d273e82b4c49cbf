using System.Net;
using Pooler.Engine.Hosts;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine;

/// <summary>
/// Answers whether a server connection can be had: yes while a pool has one that is logged in; otherwise a pool is asked
/// to open one, as for a client's login, when the configuration says as whom.
/// </summary>
internal sealed class HealthProbe(EngineCore engine) : PoolWaiter
{
    private readonly TaskCompletionSource<HealthReport> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Pool? _pool;

    // Every server has it, as good as.
    private const string AnyDatabase = "postgres";

    public override EventLoop WaiterLoop => engine.Loops[0];

    public override bool WaitsForWelcome => true;

    public override bool IsImpatient => true;

    public async Task<HealthReport> RunAsync(CancellationToken cancellationToken)
    {
        if (engine.RefusesLogins is { } refusal) return new HealthReport(false, refusal.Message);
        // What somebody unknown has asked for says nothing about our servers.
        var pools = engine.Directory.Pools.Where(p => !p.Database.IsProvisional).ToArray();
        var open = pools.Sum(p => p.Servers.Count(s => s.State is not (ServerState.Login or ServerState.Closed)));
        if (open > 0) return new HealthReport(true, $"{open} server connections are open");
        var databases = engine.Directory.Databases.Where(d => d is { Removed: false, IsProvisional: false }).ToArray();
        // Without any, what a PAUSE of all says of those to come.
        if (databases.Length > 0 ? databases.All(d => d.IsHeld) : engine.Directory.HoldsNew) return new HealthReport(false, "paused");

        _pool = pools.FirstOrDefault(p => !p.Database.IsHeld) ?? ChoosePool(databases.Where(d => !d.IsHeld));
        if (_pool is null)
        {
            return (databases.FirstOrDefault(d => !d.IsHeld) ?? engine.Directory.PreviewDatabase(AnyDatabase)) is { } database
                ? await ConnectAsync(database, cancellationToken).ConfigureAwait(false)
                : new HealthReport(true, "no database to try a connection with");
        }
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

    /// <summary>
    /// A pool whose user the configuration itself sends to the server. Never just anybody whose password is known here: it
    /// may be meant for quite another server.
    /// </summary>
    private Pool? ChoosePool(IEnumerable<PoolDatabase> databases)
    {
        var directory = engine.Directory;
        foreach (var database in databases)
            if (database.Settings.ProbeUser(engine.Settings) is { } user) return directory.GetOwnPool(database, directory.AddUser(user));
        // Of those that the * entry would make.
        var name = engine.Settings.AuthDbName ?? AnyDatabase;
        return directory.PreviewDatabase(name)?.Settings.ProbeUser(engine.Settings) is { } other && directory.FindDatabaseForQuestion(name) is { } made
            ? directory.GetOwnPool(made, directory.AddUser(other))
            : null;
    }

    /// <summary>Without anybody to log in as: whether somebody listens where the servers should be.</summary>
    private async Task<HealthReport> ConnectAsync(PoolDatabase database, CancellationToken cancellationToken)
    {
        var walk = engine.Hosts.BeginWalk(database, static (_, _) => { });
        string? error = null;
        try
        {
            while (await walk.NextAsync().AsTask().WaitAsync(cancellationToken).ConfigureAwait(false) is { EndPoint: { } endPoint } address)
            {
                var answer = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
                engine.Loops[0].Post(static state =>
                {
                    var (core, where, ended) = ((EngineCore, EndPoint, TaskCompletionSource<string?>))state!;
                    AddressProbe.Start(core.Loops[0], where, core.SocketOptions, core.Settings.ServerConnectTimeout, e => ended.TrySetResult(e));
                }, (engine, endPoint, answer));
                error = await answer.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
                if (error is null) return new HealthReport(true, "a server answers; there is no user to log in to it as");
                error = $"could not connect to server {address}: {error}";
            }
        }
        catch (OperationCanceledException)
        {
            return new HealthReport(false, $"no connection to a server of {database.Name} in time");
        }
        return new HealthReport(false, error ?? walk.Failure.Message);
    }
}
