using Pooler.Engine.Protocol;

namespace Pooler.Engine.Auth;

/// <summary>
/// Questions about users that only a server can answer, asked in one database (<c>auth_dbname</c>) as
/// <c>auth_user</c>. The tasks never fault; what follows them without a hop runs on the login's loop and must not block.
/// </summary>
internal interface IUserQueries
{
    /// <summary>Runs <c>auth_query</c>.</summary>
    Task<QueriedUser> FindUserAsync(string userName);

    /// <summary>
    /// Whether the user is a member of the role, directly or not; null when the server can't be asked. Being a superuser
    /// makes nobody a member, as in PostgreSQL's pg_hba.conf.
    /// </summary>
    Task<bool?> IsMemberAsync(string userName, string role);

    /// <summary>
    /// Runs one statement with parameters <c>$1</c> …: rows of values in text form, or null when it failed, which is
    /// then in the log.
    /// </summary>
    Task<IReadOnlyList<string?[]>?> QueryAsync(string sql, params string?[] parameters);

    /// <summary>The client has left: what is still asked is called off.</summary>
    void Abandon();
}

/// <summary>What auth_query said.</summary>
/// <param name="Error">Why it could not be asked; the client gets this.</param>
/// <param name="Name">The name in the answer; null when the server knows no such user.</param>
/// <param name="Secret">Null when the user has none, or one that has expired.</param>
/// <param name="Reason">With <paramref name="Error"/>: the same for the log, where more may be said.</param>
internal sealed record QueriedUser(PgError? Error, string? Name, Secret? Secret, string? Reason = null);
