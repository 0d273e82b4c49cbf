using System.Diagnostics;
using Npgsql;

namespace ServiceDefaults.Database;

/// <summary>
/// Lets a transaction pooler know to which trace a statement belongs, so that the wait for a server connection and the
/// query's time there become spans of the request that they were for.
/// </summary>
public static class TraceContextExtensions
{
    /// <summary>
    /// Sends with each statement of a recorded trace a trailing comment in sqlcommenter's form
    /// (<c>/*traceparent='00-…'*/</c>) that names Npgsql's own span of the command. It serves all that the data source
    /// runs: Entity Framework's queries and updates, commands and batches. Without a recorded span nothing is added.
    /// </summary>
    /// <param name="builder">The data source's builder.</param>
    /// <returns>The same builder.</returns>
    /// <remarks>
    /// <para>
    /// A comment changes nothing else: not the number of results, which Entity Framework counts; not what PostgreSQL
    /// plans; nothing stays behind on the connection for whoever uses it next; and PostgreSQL itself ignores it, when
    /// there is no pooler. Prepared statements are left as they are, because their text is shared by all who run them:
    /// for these see <see cref="ShareTraceContextAsync"/>.
    /// </para>
    /// <para>
    /// With Entity Framework give the data source to <c>UseNpgsql</c>, or use
    /// <c>UseNpgsql(connectionString, npgsql => npgsql.ConfigureDataSource(source => source.SendTraceContext()))</c>.
    /// It takes the filter and the enrichment callbacks of Npgsql's tracing.
    /// </para>
    /// </remarks>
    public static NpgsqlDataSourceBuilder SendTraceContext(this NpgsqlDataSourceBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.ConfigureTracing(tracing => tracing
            .ConfigureCommandFilter(command => !SharedTraceContext.IsOwn(command))
            .ConfigureCommandEnrichmentCallback(SentStatements.Mark)
            .ConfigureBatchEnrichmentCallback(SentStatements.Mark));
    }

    /// <summary>
    /// Makes everything that the connection runs from now on part of the current trace, prepared statements included, by
    /// the session parameter <c>pooler.traceparent</c>. Dispose the result when transactions begun since have ended, and
    /// before the connection goes back to Npgsql's pool: the next user's statements would become part of this trace.
    /// Costs a round trip to the pooler, which does not bother the server with it, at either end; nothing when no span is
    /// being recorded.
    /// </summary>
    /// <param name="connection">An open connection.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="NpgsqlException">The connection is not usable.</exception>
    public static async ValueTask<IAsyncDisposable> ShareTraceContextAsync(
        this NpgsqlConnection connection, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(connection);

        var context = TraceParent.Of(Activity.Current);
        var shared = new SharedTraceContext(context is null ? null : connection);
        await shared.SetAsync(context, cancellationToken).ConfigureAwait(false);
        return shared;
    }
}
