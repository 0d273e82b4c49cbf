using System.Globalization;
using System.Text.RegularExpressions;
using Aspire.Hosting.ApplicationModel;

namespace Aspire.Hosting;

/// <summary>The settings of a pooler. Those without a method of their own are set by <c>WithSetting</c>.</summary>
/// <remarks>
/// A setting travels as the environment variable <c>POOLER_{NAME}</c>, in run mode and in everything published. When a
/// setting is set twice, the last one counts.
/// </remarks>
public static partial class PoolerSettingsExtensions
{
    private static readonly string[] SetByEndpoints =
        ["listen_addr", "listen_port", "http_addr", "http_port", "http_admin_port", "http_admin_key"];

    /// <summary>Sets when a server connection goes back to the pool (<c>pool_mode</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="mode">The mode; transaction unless set.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="mode"/> is none of the modes.</exception>
    public static IResourceBuilder<PoolerResource> WithPoolMode(this IResourceBuilder<PoolerResource> builder, PoolMode mode) =>
        builder.Set("pool_mode", mode switch
        {
            PoolMode.Transaction => "transaction",
            PoolMode.Session => "session",
            PoolMode.Statement => "statement",
            _ => throw new ArgumentOutOfRangeException(nameof(mode), mode, "The pool mode is transaction, session or statement."),
        });

    /// <summary>Sets how many server connections each pool, that is each pair of database and user, may hold.</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="size">Server connections of a pool (<c>default_pool_size</c>).</param>
    /// <param name="minimum">
    /// Connections kept open when nothing is going on (<c>min_pool_size</c>); <see langword="null"/> leaves it as it is.
    /// </param>
    /// <param name="reserve">
    /// Connections beyond <paramref name="size"/> for clients that have waited for <paramref name="reserveTimeout"/>
    /// (<c>reserve_pool_size</c>); <see langword="null"/> leaves it as it is.
    /// </param>
    /// <param name="reserveTimeout">
    /// How long a client waits before the reserve is opened (<c>reserve_pool_timeout</c>); <see langword="null"/> leaves
    /// it as it is.
    /// </param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="size"/> is not positive, another value is negative, or <paramref name="minimum"/> is larger than
    /// <paramref name="size"/>.
    /// </exception>
    public static IResourceBuilder<PoolerResource> WithPoolSize(
        this IResourceBuilder<PoolerResource> builder, int size, int? minimum = null, int? reserve = null, TimeSpan? reserveTimeout = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        if (minimum > size)
            throw new ArgumentOutOfRangeException(nameof(minimum), minimum, $"The minimum is larger than the pool's size, {size}.");

        if (minimum is { } min)
            ArgumentOutOfRangeException.ThrowIfNegative(min, nameof(minimum));
        if (reserve is { } extra)
            ArgumentOutOfRangeException.ThrowIfNegative(extra, nameof(reserve));
        if (reserveTimeout is { } wait)
            ArgumentOutOfRangeException.ThrowIfLessThan(wait, TimeSpan.Zero, nameof(reserveTimeout));

        builder.SetCount("default_pool_size", size, nameof(size));
        if (minimum is not null)
            builder.SetCount("min_pool_size", minimum.Value, nameof(minimum));
        if (reserve is not null)
            builder.SetCount("reserve_pool_size", reserve.Value, nameof(reserve));
        if (reserveTimeout is not null)
            builder.SetTime("reserve_pool_timeout", reserveTimeout.Value, nameof(reserveTimeout));
        return builder;
    }

    /// <summary>Sets how many clients may be connected in all (<c>max_client_conn</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="count">The number of clients.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is not positive.</exception>
    public static IResourceBuilder<PoolerResource> WithMaxClientConnections(this IResourceBuilder<PoolerResource> builder, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        return builder.SetCount("max_client_conn", count, nameof(count));
    }

    /// <summary>Sets how many server connections a database may hold, over all its users (<c>max_db_connections</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="count">The number of server connections; 0 for no limit.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithMaxDatabaseConnections(this IResourceBuilder<PoolerResource> builder, int count) =>
        builder.SetCount("max_db_connections", count, nameof(count));

    /// <summary>Sets how many server connections a user may hold, over all databases (<c>max_user_connections</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="count">The number of server connections; 0 for no limit.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithMaxUserConnections(this IResourceBuilder<PoolerResource> builder, int count) =>
        builder.SetCount("max_user_connections", count, nameof(count));

    /// <summary>
    /// Sets how many prepared statements are kept on each server connection in transaction and statement mode
    /// (<c>max_prepared_statements</c>).
    /// </summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="count">The number of statements; 0 turns named prepared statements off in those modes.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithMaxPreparedStatements(this IResourceBuilder<PoolerResource> builder, int count) =>
        builder.SetCount("max_prepared_statements", count, nameof(count));

    /// <summary>Sets after how long an unused server connection is closed (<c>server_idle_timeout</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="timeout">The time; zero for never.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithServerIdleTimeout(this IResourceBuilder<PoolerResource> builder, TimeSpan timeout) =>
        builder.SetTime("server_idle_timeout", timeout, nameof(timeout));

    /// <summary>Sets the age at which a server connection is replaced, once it is free (<c>server_lifetime</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="lifetime">The time; zero to use each connection once.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="lifetime"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithServerLifetime(this IResourceBuilder<PoolerResource> builder, TimeSpan lifetime) =>
        builder.SetTime("server_lifetime", lifetime, nameof(lifetime));

    /// <summary>Sets how long connecting and logging in to PostgreSQL may take (<c>server_connect_timeout</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="timeout">The time; zero for no limit.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithServerConnectTimeout(this IResourceBuilder<PoolerResource> builder, TimeSpan timeout) =>
        builder.SetTime("server_connect_timeout", timeout, nameof(timeout));

    /// <summary>Sets how long the pooler waits after a failed login to PostgreSQL (<c>server_login_retry</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="delay">The time.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="delay"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithServerLoginRetry(this IResourceBuilder<PoolerResource> builder, TimeSpan delay) =>
        builder.SetTime("server_login_retry", delay, nameof(delay));

    /// <summary>
    /// Sets what tests a server connection that has been idle for a while before a client gets it
    /// (<c>server_check_query</c>, <c>server_check_delay</c>).
    /// </summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="query">The query, for example <c>select 1</c>.</param>
    /// <param name="delay">How long a connection counts as good without a test; <see langword="null"/> leaves it as it is.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentException"><paramref name="query"/> is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="delay"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithServerCheck(
        this IResourceBuilder<PoolerResource> builder, string query, TimeSpan? delay = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(query);
        if (delay is { } time)
            builder.SetTime("server_check_delay", time, nameof(delay));
        return builder.Set("server_check_query", query);
    }

    /// <summary>Sets what cleans a server connection up in session mode (<c>server_reset_query</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="query">The statement, for example <c>DISCARD ALL</c>.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentException"><paramref name="query"/> is empty.</exception>
    public static IResourceBuilder<PoolerResource> WithServerResetQuery(this IResourceBuilder<PoolerResource> builder, string query)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(query);
        return builder.Set("server_reset_query", query);
    }

    /// <summary>Sets how long a client waits for a server connection before it gets an error (<c>query_wait_timeout</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="timeout">The time; zero for no limit.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithQueryWaitTimeout(this IResourceBuilder<PoolerResource> builder, TimeSpan timeout) =>
        builder.SetTime("query_wait_timeout", timeout, nameof(timeout));

    /// <summary>Sets how long a query may run (<c>query_timeout</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="timeout">The time; zero for no limit.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithQueryTimeout(this IResourceBuilder<PoolerResource> builder, TimeSpan timeout) =>
        builder.SetTime("query_timeout", timeout, nameof(timeout));

    /// <summary>Sets how long a client may be idle within a transaction (<c>idle_transaction_timeout</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="timeout">The time; zero for no limit.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithIdleTransactionTimeout(this IResourceBuilder<PoolerResource> builder, TimeSpan timeout) =>
        builder.SetTime("idle_transaction_timeout", timeout, nameof(timeout));

    /// <summary>Sets after how long an idle client is disconnected (<c>client_idle_timeout</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="timeout">The time; zero for never. Keep it longer than the idle lifetime of the clients' own pools.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithClientIdleTimeout(this IResourceBuilder<PoolerResource> builder, TimeSpan timeout) =>
        builder.SetTime("client_idle_timeout", timeout, nameof(timeout));

    /// <summary>Sets how long a client's login may take (<c>client_login_timeout</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="timeout">The time; zero for no limit.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithClientLoginTimeout(this IResourceBuilder<PoolerResource> builder, TimeSpan timeout) =>
        builder.SetTime("client_login_timeout", timeout, nameof(timeout));

    /// <summary>Sets the period of averages and of the stats line in the log (<c>stats_period</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="period">The period, in whole seconds.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="period"/> is less than a second, or has a fraction of one.</exception>
    public static IResourceBuilder<PoolerResource> WithStatsPeriod(this IResourceBuilder<PoolerResource> builder, TimeSpan period)
    {
        if (period < TimeSpan.FromSeconds(1) || period.Ticks % TimeSpan.TicksPerSecond != 0)
            throw new ArgumentOutOfRangeException(nameof(period), period, "The period is a whole number of seconds, at least one.");

        return builder.SetTime("stats_period", period, nameof(period));
    }

    /// <summary>
    /// Sets from which length on a query counts as slow (<c>slow_query_time</c>): such are listed on the page and by SHOW
    /// SLOW_REQUESTS, and are spans of their own when their client sends no trace.
    /// </summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="time">The time; zero for none. The pooler's own default is a second.</param>
    /// <param name="log">
    /// Whether the log tells of each (<c>log_slow_queries</c>), with the literals of its text left out;
    /// <see langword="null"/> leaves it as it is.
    /// </param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="time"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithSlowQueryTime(
        this IResourceBuilder<PoolerResource> builder, TimeSpan time, bool? log = null)
    {
        builder.SetTime("slow_query_time", time, nameof(time));
        return log is { } logged ? builder.SetSwitch("log_slow_queries", logged) : builder;
    }

    /// <summary>
    /// Sets from which length on the wait for a server connection counts as slow (<c>slow_wait_time</c>): such are listed
    /// with the slow queries, and are spans of their own when their client sends no trace.
    /// </summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="time">The time; zero for none. The pooler's own default is a tenth of a second.</param>
    /// <param name="log">Whether the log tells of each (<c>log_slow_waits</c>); <see langword="null"/> leaves it as it is.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="time"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithSlowWaitTime(
        this IResourceBuilder<PoolerResource> builder, TimeSpan time, bool? log = null)
    {
        builder.SetTime("slow_wait_time", time, nameof(time));
        return log is { } logged ? builder.SetSwitch("log_slow_waits", logged) : builder;
    }

    /// <summary>Sets the users who may run every console command (<c>admin_users</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="users">The users. Unless set, the server's user is the only one.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentException">There is no user, or a name is empty or has a comma in it.</exception>
    public static IResourceBuilder<PoolerResource> WithAdminUsers(this IResourceBuilder<PoolerResource> builder, params string[] users) =>
        builder.Set("admin_users", JoinUsers(users));

    /// <summary>Sets the users who may run the console's SHOW commands, but no others (<c>stats_users</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="users">The users.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentException">There is no user, or a name is empty or has a comma in it.</exception>
    public static IResourceBuilder<PoolerResource> WithStatsUsers(this IResourceBuilder<PoolerResource> builder, params string[] users) =>
        builder.Set("stats_users", JoinUsers(users));

    /// <summary>Sets how many event loops carry the traffic (<c>event_loops</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="count">The number of loops, a thread each; 0 for one per core, and a single one up to two cores.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    public static IResourceBuilder<PoolerResource> WithEventLoops(this IResourceBuilder<PoolerResource> builder, int count) =>
        builder.SetCount("event_loops", count, nameof(count));

    /// <summary>Sets how the event loops do their I/O (<c>io_backend</c>).</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="backend">The backend.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="backend"/> is none of the backends.</exception>
    public static IResourceBuilder<PoolerResource> WithIoBackend(this IResourceBuilder<PoolerResource> builder, PoolerIoBackend backend) =>
        builder.Set("io_backend", backend switch
        {
            PoolerIoBackend.Auto => "auto",
            PoolerIoBackend.Epoll => "epoll",
            PoolerIoBackend.Sockets => "sockets",
            _ => throw new ArgumentOutOfRangeException(nameof(backend), backend, "The backend is auto, epoll or sockets."),
        });

    /// <summary>Sets any setting by its name in pgbouncer.ini.</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="name">The name, for example <c>transaction_timeout</c>.</param>
    /// <param name="value">The value as the file would have it. The pooler refuses to start with a value it can't read.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentException">
    /// <paramref name="name"/> is not the name of a setting, or of one that the resource's endpoints set.
    /// </exception>
    public static IResourceBuilder<PoolerResource> WithSetting(this IResourceBuilder<PoolerResource> builder, string name, string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        return builder.Set(CheckedName(name), value);
    }

    /// <summary>Sets any setting by its name in pgbouncer.ini, to the value of a parameter, for example a secret.</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="name">The name.</param>
    /// <param name="value">The parameter; it stays a parameter in what is published.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentException">
    /// <paramref name="name"/> is not the name of a setting, or of one that the resource's endpoints set.
    /// </exception>
    public static IResourceBuilder<PoolerResource> WithSetting(
        this IResourceBuilder<PoolerResource> builder, string name, IResourceBuilder<ParameterResource> value)
    {
        ArgumentNullException.ThrowIfNull(value);
        return builder.Set(CheckedName(name), value.Resource);
    }

    /// <summary>Sets any setting by its name in pgbouncer.ini, to an expression over other resources.</summary>
    /// <param name="builder">The pooler.</param>
    /// <param name="name">The name.</param>
    /// <param name="value">The expression.</param>
    /// <returns>The builder of the pooler.</returns>
    /// <exception cref="ArgumentException">
    /// <paramref name="name"/> is not the name of a setting, or of one that the resource's endpoints set.
    /// </exception>
    public static IResourceBuilder<PoolerResource> WithSetting(
        this IResourceBuilder<PoolerResource> builder, string name, ReferenceExpression value)
    {
        ArgumentNullException.ThrowIfNull(value);
        return builder.Set(CheckedName(name), value);
    }

    [GeneratedRegex("^[a-z][a-z0-9_]*$", RegexOptions.CultureInvariant)]
    private static partial Regex SettingName { get; }

    private static string CheckedName(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var setting = name.ToLowerInvariant();
        if (!SettingName.IsMatch(setting))
            throw new ArgumentException($"'{name}' is not the name of a setting: letters, digits and underscores, as in pgbouncer.ini.", nameof(name));
        if (SetByEndpoints.Contains(setting))
        {
            throw new ArgumentException(
                $"'{setting}' is set by the resource's endpoints. Change the endpoint (WithEndpoint), or the adminKey of AddPooler.", nameof(name));
        }

        return setting;
    }

    private static string JoinUsers(string[] users)
    {
        ArgumentNullException.ThrowIfNull(users);
        if (users.Length == 0)
            throw new ArgumentException("At least one user is needed.", nameof(users));
        foreach (var user in users)
        {
            if (string.IsNullOrWhiteSpace(user) || user.Contains(','))
                throw new ArgumentException($"'{user}' can't be in a comma-separated list of users.", nameof(users));
        }

        return string.Join(", ", users);
    }

    private static IResourceBuilder<PoolerResource> SetCount(
        this IResourceBuilder<PoolerResource> builder, string setting, int count, string parameterName)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count, parameterName);
        return builder.Set(setting, count.ToString(CultureInfo.InvariantCulture));
    }

    /// <remarks>Times are seconds in pgbouncer.ini, with decimals.</remarks>
    private static IResourceBuilder<PoolerResource> SetTime(
        this IResourceBuilder<PoolerResource> builder, string setting, TimeSpan time, string parameterName)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.Zero, parameterName);
        return builder.Set(setting, time.TotalSeconds.ToString("0.######", CultureInfo.InvariantCulture));
    }

    private static IResourceBuilder<PoolerResource> SetSwitch(this IResourceBuilder<PoolerResource> builder, string setting, bool value) =>
        builder.Set(setting, value ? "1" : "0");

    private static IResourceBuilder<PoolerResource> Set(this IResourceBuilder<PoolerResource> builder, string setting, object value)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Resource.Set(setting, value);
        return builder;
    }
}
