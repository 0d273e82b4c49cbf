using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>
/// What differs for a server that was opened for one client alone (replication): its startup packet, and that it ends with
/// its client.
/// </summary>
internal sealed partial class ServerSession
{
    private const string OwnerLeft = "replication client was closed";

    /// <summary>WAL is being streamed: it began with CopyBothResponse and ends with an error or ReadyForQuery.</summary>
    private bool _streams;

    /// <summary>The client that it was opened for has left.</summary>
    /// <param name="quiet">Nothing is in flight.</param>
    public void CloseWithClient(bool quiet)
    {
        // A WAL sender looks at its socket all the time, and a backup ends when nobody takes it. Other statements have to be
        // cancelled.
        if (quiet || _streams || OwnStartup!.Replication == ReplicationMode.Physical) Close(OwnerLeft);
        else Abort(OwnerLeft);
    }

    private List<KeyValuePair<string, string>> StartupParameters()
    {
        var database = Pool.Database.Settings;
        var parameters = new List<KeyValuePair<string, string>>(database.StartupParameters);
        if (!database.StartupParameters.ContainsKey("application_name"))
            parameters.Add(new("application_name", EngineCore.ApplicationName));
        if (OwnStartup is not { } own) return parameters;
        parameters.RemoveAll(p => own.Parameters.Any(o => o.Key.Equals(p.Key, StringComparison.OrdinalIgnoreCase)));
        parameters.AddRange(own.Parameters);
        parameters.Add(new("replication", own.Replication.StartupValue()));
        return parameters;
    }

    private void OnOwnServerReady(Welcome welcome)
    {
        OwnWelcome = welcome;
        _engine.OnServerLoggedIn(this);
        if (!Pool.CompleteOwnServer(this)) Close(OwnerLeft);
    }
}
