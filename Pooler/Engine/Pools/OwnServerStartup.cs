using Pooler.Engine.Protocol;

namespace Pooler.Engine.Pools;

/// <summary>What a server connection that is opened for one client alone is asked for at its start.</summary>
/// <param name="Replication">Physical or logical.</param>
/// <param name="Parameters">
/// Startup parameters as the client gave them, <c>options</c> included: a replication connection takes no SET later on.
/// They win over those of the database.
/// </param>
public sealed record OwnServerStartup(ReplicationMode Replication, IReadOnlyList<KeyValuePair<string, string>> Parameters);
