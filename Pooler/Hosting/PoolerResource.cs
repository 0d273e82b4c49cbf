namespace Aspire.Hosting.ApplicationModel;

/// <summary>
/// A PostgreSQL transaction pooler, run as a .NET project in front of a <see cref="PostgresServerResource"/>.
/// </summary>
/// <param name="name">The name of the resource.</param>
/// <param name="server">The PostgreSQL server whose connections are pooled.</param>
/// <param name="adminKey">The secret that the pooler's admin endpoint asks for.</param>
/// <remarks>
/// The connection string names no database. Applications reference a <see cref="PoolerDatabaseResource"/>, which
/// <see cref="PoolerBuilderExtensions.AddDatabase"/> adds.
/// </remarks>
public sealed class PoolerResource(string name, PostgresServerResource server, ParameterResource adminKey)
    : ProjectResource(name), IResourceWithConnectionString
{
    internal const string TcpEndpointName = "tcp";
    internal const string HttpEndpointName = "http";
    internal const string AdminEndpointName = "admin";

    private readonly List<PoolerDatabaseResource> _databases = [];
    private readonly OrderedDictionary<string, object> _settings = [];
    private EndpointReference? _primaryEndpoint;
    private EndpointReference? _httpEndpoint;
    private EndpointReference? _adminEndpoint;

    /// <summary>The PostgreSQL server whose connections are pooled.</summary>
    public PostgresServerResource Server { get; } = server ?? throw new ArgumentNullException(nameof(server));

    /// <summary>The secret that the admin endpoint asks for, in the header <c>X-Admin-Key</c>.</summary>
    public ParameterResource AdminKeyParameter { get; } = adminKey ?? throw new ArgumentNullException(nameof(adminKey));

    /// <summary>Where PostgreSQL clients connect.</summary>
    public EndpointReference PrimaryEndpoint => _primaryEndpoint ??= new(this, TcpEndpointName);

    /// <summary>Health (<c>/health</c>, <c>/alive</c>) and metrics (<c>/metrics</c>) over HTTP.</summary>
    public EndpointReference HttpEndpoint => _httpEndpoint ??= new(this, HttpEndpointName);

    /// <summary>Admin commands over HTTP (<c>POST /admin/…</c>). Not part of references to this resource.</summary>
    public EndpointReference AdminEndpoint => _adminEndpoint ??= new(this, AdminEndpointName);

    /// <summary>The host of <see cref="PrimaryEndpoint"/>.</summary>
    public EndpointReferenceExpression Host => PrimaryEndpoint.Property(EndpointProperty.Host);

    /// <summary>The port of <see cref="PrimaryEndpoint"/>.</summary>
    public EndpointReferenceExpression Port => PrimaryEndpoint.Property(EndpointProperty.Port);

    /// <summary>The user clients log in as. It is the server's: clients change address, nothing else.</summary>
    public ReferenceExpression UserNameReference => Server.UserNameReference;

    /// <summary>The databases reached through this pooler.</summary>
    public IReadOnlyList<PoolerDatabaseResource> Databases => _databases;

    /// <summary>
    /// The pooler's settings by the names of pgbouncer.ini, in the order they were first set. A value is a
    /// <see cref="string"/>, a <see cref="ParameterResource"/> or a <see cref="ReferenceExpression"/>.
    /// </summary>
    public IReadOnlyDictionary<string, object> Settings => _settings;

    /// <summary>The Npgsql connection string of the pooler, without a database.</summary>
    /// <remarks>
    /// <para>
    /// <c>No Reset On Close=true</c>: a reset (<c>DISCARD ALL</c>) when Npgsql's own pool takes a connection back costs
    /// a round trip, and in transaction mode it would reach whichever server connection comes next. The pooler keeps
    /// the state of its clients apart by itself.
    /// </para>
    /// <para>
    /// The rest is left to Npgsql's defaults on purpose. <c>SSL Mode</c> stays at <c>Prefer</c>: it costs one round trip
    /// for each physical connection while the pooler has no certificate, and needs no change when it has one.
    /// <c>GSS Encryption Mode</c> is unknown to Npgsql before 10, which would reject the string, and costs nothing
    /// without Kerberos credentials. <c>Max Auto Prepare</c> works, because the pooler carries prepared statements from
    /// server to server, and is the application's choice. <c>Maximum Pool Size</c> counts clients of the pooler, which
    /// are cheap.
    /// </para>
    /// </remarks>
    public ReferenceExpression ConnectionStringExpression => ReferenceExpression.Create(
        $"Host={Host};Port={Port};Username={UserNameReference};Password={Server.PasswordParameter};No Reset On Close=true");

    /// <summary>The URI <c>postgresql://user:password@host:port</c>.</summary>
    public ReferenceExpression UriExpression => BuildUri();

    /// <summary>The JDBC URL <c>jdbc:postgresql://host:port</c>, without user and password.</summary>
    public ReferenceExpression JdbcConnectionString => BuildJdbcConnectionString();

    IEnumerable<KeyValuePair<string, ReferenceExpression>> IResourceWithConnectionString.GetConnectionProperties() =>
    [
        new("Host", ReferenceExpression.Create($"{Host}")),
        new("Port", ReferenceExpression.Create($"{Port}")),
        new("Username", UserNameReference),
        new("Password", ReferenceExpression.Create($"{Server.PasswordParameter}")),
        new("Uri", UriExpression),
        new("JdbcConnectionString", JdbcConnectionString),
    ];

    internal void Add(PoolerDatabaseResource database) => _databases.Add(database);

    internal void Set(string setting, object value) => _settings[setting] = value;

    internal ReferenceExpression BuildUri(string? databaseName = null)
    {
        // Encoding is applied to the parameters themselves: a format can't be put on a nested expression, and the
        // manifest writes an encoded copy of the parameter for it.
        var uri = new ReferenceExpressionBuilder();
        uri.AppendLiteral("postgresql://");
        if (Server.UserNameParameter is { } userName)
            uri.Append($"{userName:uri}");
        else
            uri.Append($"{UserNameReference.ValueExpression:uri}");

        uri.Append($":{Server.PasswordParameter:uri}@{Host}:{Port}");
        if (databaseName is not null)
            uri.Append($"/{databaseName:uri}");

        return uri.Build();
    }

    internal ReferenceExpression BuildJdbcConnectionString(string? databaseName = null)
    {
        var url = new ReferenceExpressionBuilder();
        url.Append($"jdbc:postgresql://{Host}:{Port}");
        if (databaseName is not null)
            url.Append($"/{databaseName:uri}");

        return url.Build();
    }
}
