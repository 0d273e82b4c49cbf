using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>
/// Replication clients: each gets a server that is opened for it alone, with its own startup parameters. It is let in when
/// that server is, and told that server's parameters.
/// </summary>
internal sealed partial class LoginSession
{
    private OwnServerStartup? _ownServer;

    /// <summary>What kind of replication the client has asked for, if any.</summary>
    public ReplicationMode Replication => _startup?.Replication ?? ReplicationMode.None;

    public override OwnServerStartup? OwnServer => _ownServer;

    /// <summary>The server that was opened for this client is ready.</summary>
    protected internal override void OnGranted(PooledServer server)
    {
        var own = (ServerSession)server;
        var pool = _pool!;
        var waited = _context.Loop.Now - WaitingSince;
        WaitingSince = 0;
        if (!CountIn(pool))
        {
            own.CloseWithClient(quiet: true);
            return;
        }
        pool.StatisticsOf(_context.Loop).Waits.Record(waited);
        Admit(pool, own.OwnWelcome!, own.Parameters).BeginOn(own);
        _connection.ResumeReading();
    }

    private void BeginReplication(Pool pool)
    {
        _ownServer = new OwnServerStartup(Replication, [.. StartupParameters(_startup!)]);
        _state = LoginState.WaitingForWelcome;
        _connection.PauseReading();
        pool.EnqueueForOwnServer(this);
    }

    private IEnumerable<KeyValuePair<string, string>> StartupParameters(StartupPacket startup)
    {
        string? applicationName = null;
        foreach (var (name, value) in startup.Parameters)
        {
            if (Engine.IsIgnoredAtStartup(name) || RequestedParameters.IsTrace(name)) continue;
            if (name.Equals("application_name", StringComparison.OrdinalIgnoreCase)) applicationName = value;
            else yield return new(name, value);
        }
        if (Engine.Settings.ApplicationNameAddHost) applicationName = $"{applicationName ?? "app"} - {Address}:{Port}";
        if (applicationName is not null) yield return new("application_name", applicationName);
        if (startup.Options is { } options && !Engine.IsIgnoredAtStartup("options")) yield return new("options", options);
    }
}
