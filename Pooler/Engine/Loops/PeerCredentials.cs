namespace Pooler.Engine.Loops;

/// <summary>Who was at the other end of a Unix socket when it connected, as the kernel says (unix(7), SO_PEERCRED).</summary>
/// <param name="UserId">Effective user id of the peer's process.</param>
/// <param name="GroupId">Effective group id of the peer's process.</param>
/// <param name="ProcessId">The peer's process; 0 where the system does not tell.</param>
public sealed record PeerCredentials(uint UserId, uint GroupId, int ProcessId);
