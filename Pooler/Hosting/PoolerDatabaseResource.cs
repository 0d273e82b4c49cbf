using System.Data.Common;

namespace Aspire.Hosting.ApplicationModel;

/// <summary>A database of a PostgreSQL server, reached through a <see cref="PoolerResource"/>.</summary>
/// <param name="name">The name of the resource.</param>
/// <param name="pooler">The pooler.</param>
/// <param name="database">The database behind it.</param>
/// <remarks>
/// It has the same connection properties as <see cref="PostgresDatabaseResource"/>, so a reference to one can be
/// replaced by a reference to the other.
/// </remarks>
public sealed class PoolerDatabaseResource(string name, PoolerResource pooler, PostgresDatabaseResource database)
    : Resource(name), IResourceWithParent<PoolerResource>, IResourceWithConnectionString
{
    /// <summary>The pooler.</summary>
    public PoolerResource Parent { get; } = pooler ?? throw new ArgumentNullException(nameof(pooler));

    /// <summary>The database behind the pooler.</summary>
    public PostgresDatabaseResource Database { get; } = database ?? throw new ArgumentNullException(nameof(database));

    /// <summary>The database's name on the server.</summary>
    public string DatabaseName => Database.DatabaseName;

    /// <summary>The Npgsql connection string: the pooler's, and the database.</summary>
    /// <remarks>
    /// It repeats the pooler's string rather than referring to it: in a manifest the pooler is a <c>project.v0</c>, and
    /// those have no <c>connectionString</c> that <c>{pooler.connectionString}</c> could name.
    /// </remarks>
    public ReferenceExpression ConnectionStringExpression
    {
        get
        {
            // The builder quotes what needs quoting.
            var database = new DbConnectionStringBuilder { ["Database"] = DatabaseName };
            return ReferenceExpression.Create($"{Parent.ConnectionStringExpression};{database.ConnectionString}");
        }
    }

    /// <summary>The URI <c>postgresql://user:password@host:port/database</c>.</summary>
    public ReferenceExpression UriExpression => Parent.BuildUri(DatabaseName);

    /// <summary>The JDBC URL <c>jdbc:postgresql://host:port/database</c>, without user and password.</summary>
    public ReferenceExpression JdbcConnectionString => Parent.BuildJdbcConnectionString(DatabaseName);

    IEnumerable<KeyValuePair<string, ReferenceExpression>> IResourceWithConnectionString.GetConnectionProperties() =>
        Parent.CombineProperties(
        [
            new("DatabaseName", ReferenceExpression.Create($"{DatabaseName}")),
            new("Uri", UriExpression),
            new("JdbcConnectionString", JdbcConnectionString),
        ]);
}
