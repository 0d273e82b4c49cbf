using Pooler.Engine.Auth;
using Pooler.Engine.Loops;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Sessions;

/// <summary>Questions of one login about users, asked on a pooled server connection of <c>auth_user</c>.</summary>
internal sealed class UserQueries : IUserQueries
{
    // Nothing in it is found by search_path. Memberships are followed by hand: pg_has_role() counts a superuser as a
    // member of every role, pg_hba.conf does not.
    private const string MembershipQuery =
        """
        WITH RECURSIVE held(oid) AS (
          SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) $1
          UNION
          SELECT m.roleid FROM pg_catalog.pg_auth_members m, held h WHERE m.member OPERATOR(pg_catalog.=) h.oid)
        SELECT r.rolname FROM pg_catalog.pg_roles r, held h
        WHERE r.oid OPERATOR(pg_catalog.=) h.oid AND r.rolname OPERATOR(pg_catalog.=) $2
        """;

    private readonly EngineCore _engine;
    private readonly EventLoop _loop;
    private readonly PoolDatabase? _database;
    private readonly string _authUser;
    private readonly ConnectionName _login;
    private ServerQuery? _running;

    private UserQueries(EngineCore engine, EventLoop loop, PoolDatabase? database, string authUser, ConnectionName login) =>
        (_engine, _loop, _database, _authUser, _login) = (engine, loop, database, authUser, login);

    /// <summary>Null when nobody is named to ask as (auth_user).</summary>
    /// <param name="engine">The engine.</param>
    /// <param name="loop">The login's loop.</param>
    /// <param name="database">What the client asks for; null for the console.</param>
    /// <param name="login">Whose login it is, for the log.</param>
    public static UserQueries? For(EngineCore engine, EventLoop loop, PoolDatabase? database, ConnectionName login) =>
        (database?.Settings.AuthUser ?? engine.Settings.AuthUser) is { Length: > 0 } authUser
            ? new UserQueries(engine, loop, database, authUser, login)
            : null;

    public async Task<QueriedUser> FindUserAsync(string userName)
    {
        if (FindPool(out var refusal, out var reason) is not { } pool) return new QueriedUser(refusal, null, null, reason);
        var result = await RunAsync(pool, _database?.Settings.AuthQuery ?? _engine.Settings.AuthQuery, userName).ConfigureAwait(false);
        if (result.Error is { } error)
        {
            return result.IsServerError
                ? Misconfigured($"error in auth_query: {error.Severity}: {error.Message}")
                : new QueriedUser(error, null, null, $"auth_query could not be run: {error.Message}");
        }
        if (result.Columns != 2) return Misconfigured($"expected 2 columns from auth_query, not {result.Columns}");
        if (result.Rows.Count == 0) return new QueriedUser(null, null, null);
        // Of several rows the last counts, as for PgBouncer.
        var row = result.Rows[^1];
        return row[0] is { } name
            ? new QueriedUser(null, name, Secret.Parse(row[1]))
            : Misconfigured("auth_query response contained null user name");
    }

    public async Task<bool?> IsMemberAsync(string userName, string role) =>
        await QueryAsync(MembershipQuery, userName, role).ConfigureAwait(false) is { } rows ? rows.Count > 0 : null;

    public async Task<IReadOnlyList<string?[]>?> QueryAsync(string sql, params string?[] parameters)
    {
        if (FindPool(out _, out _) is not { } pool) return null;
        var result = await RunAsync(pool, sql, parameters).ConfigureAwait(false);
        if (result.Error is null) return result.Rows;
        _engine.Log.UserQueryFailed(_login, $"error in a query about users: {result.Error.Severity}: {result.Error.Message}");
        return null;
    }

    /// <summary>The pool in whose queue a question stands.</summary>
    public Pool? WaitsIn => _running?.WaitsIn;

    public void Abandon() => _running?.Abandon();

    private Task<ServerQueryResult> RunAsync(Pool pool, string sql, params string?[] parameters)
    {
        _running = new ServerQuery(_engine, pool, _loop, sql, parameters);
        return _running.RunAsync();
    }

    /// <summary>The pool of auth_user on auth_dbname, or on the client's own database.</summary>
    private Pool? FindPool(out PgError? refusal, out string? reason)
    {
        var name = _database?.Settings.AuthDbName ?? _engine.Settings.AuthDbName ?? _database?.Name ?? EngineCore.ConsoleDatabase;
        (refusal, reason) = (null, null);
        if (name == EngineCore.ConsoleDatabase)
        {
            (refusal, _, _, reason) = Misconfigured($"cannot use the reserved \"{name}\" database as an auth_dbname");
            return null;
        }
        var database = _engine.Directory.FindDatabaseForQuestion(name);
        if (database is null || database.Removed)
        {
            (refusal, _, _, reason) = Misconfigured($"authentication database \"{name}\" is not configured.");
            return null;
        }
        if (database.Disabled)
        {
            refusal = PgError.Fatal(SqlState.ProtocolViolation, $"authentication database \"{name}\" is disabled");
            reason = refusal.Message;
            _engine.Log.UserQueryFailed(_login, reason);
            return null;
        }
        return _engine.Directory.GetOwnPool(database, _engine.Directory.AddUser(_authUser));
    }

    // The client learns no more than that: the rest is the administrator's.
    private QueriedUser Misconfigured(string reason)
    {
        _engine.Log.UserQueryFailed(_login, reason);
        return new QueriedUser(PgError.Fatal(SqlState.ProtocolViolation, "bouncer config error"), null, null, reason);
    }
}
