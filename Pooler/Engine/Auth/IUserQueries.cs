using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// Questions about users that only a server can answer, asked in one database (<c>auth_dbname</c>) as
/// <c>auth_user</c>. Off the loops; the tasks never fault.
/// </summary>
internal interface IUserQueries
{
    /// <summary>Runs <c>auth_query</c>.</summary>
    Task<QueriedUser> FindUserAsync(string userName);

    /// <summary>Whether the user is a member of the role, directly or not; null when the server can't be asked.</summary>
    Task<bool?> IsMemberAsync(string userName, string role);
}

/// <summary>What auth_query said.</summary>
/// <param name="Error">Why it could not be asked; the client gets this.</param>
/// <param name="Name">The name in the answer; null when the server knows no such user.</param>
/// <param name="Secret">Null when the user has none, or one that has expired.</param>
internal sealed record QueriedUser(PgError? Error, string? Name, Secret? Secret);
