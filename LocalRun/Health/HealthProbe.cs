using System.Net.Sockets;
using System.Text.Json.Serialization;
using LocalRun.Provisioning;
using Npgsql;

namespace LocalRun.Health;

/// <summary>What a probe found.</summary>
/// <param name="Healthy">True when the service does its work.</param>
/// <param name="Detail">What it answered, in a few words.</param>
internal sealed record HealthResult(bool Healthy, string Detail);

/// <summary>How to ask a service whether it is well. Kept in the state file, so that another process can ask.</summary>
[JsonDerivedType(typeof(HttpProbe), "http")]
[JsonDerivedType(typeof(TcpProbe), "tcp")]
[JsonDerivedType(typeof(PostgresProbe), "postgres")]
[JsonDerivedType(typeof(RedisProbe), "redis")]
internal abstract record HealthProbe
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Asks once. A service that does not answer in five seconds is not healthy.</summary>
    public async Task<HealthResult> AskAsync(CancellationToken cancellationToken)
    {
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limited.CancelAfter(Patience);
        try
        {
            return await TryAsync(limited.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new HealthResult(false, $"no answer within {Patience.TotalSeconds:0} s");
        }
        catch (Exception e) when (e is HttpRequestException or NpgsqlException or SocketException or IOException or TimeoutException)
        {
            return new HealthResult(false, (e is HttpRequestException { InnerException: { } inner } ? inner : e).Message.Split('\n')[0]);
        }
    }

    /// <summary>Asks once; may throw what networks throw.</summary>
    protected abstract Task<HealthResult> TryAsync(CancellationToken cancellationToken);
}

/// <summary>GET of a health page. A service without one (404) is well if it answers at all.</summary>
/// <param name="Url">The page.</param>
internal sealed record HttpProbe(string Url) : HealthProbe
{
    private static readonly HttpClient Http = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false });

    /// <inheritdoc/>
    protected override async Task<HealthResult> TryAsync(CancellationToken cancellationToken)
    {
        using var response = await Http.GetAsync(Url, cancellationToken).ConfigureAwait(false);
        var code = (int)response.StatusCode;
        var page = new Uri(Url).AbsolutePath;
        if (code == 404)
            return new HealthResult(true, $"answers, has no {page}");
        var body = (await response.Content.ReadAsStringAsync(cancellationToken).ConfigureAwait(false)).ReplaceLineEndings(" ").Trim();
        return new HealthResult(response.IsSuccessStatusCode, $"{page} {code}{(body.Length is > 0 and < 80 ? " " + body : "")}");
    }
}

/// <summary>A connection that is accepted.</summary>
/// <param name="Host">Address.</param>
/// <param name="Port">Port.</param>
internal sealed record TcpProbe(string Host, int Port) : HealthProbe
{
    /// <inheritdoc/>
    protected override async Task<HealthResult> TryAsync(CancellationToken cancellationToken)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(Host, Port, cancellationToken).ConfigureAwait(false);
        return new HealthResult(true, $"port {Port} accepts");
    }
}

/// <summary>SELECT 1, at a PostgreSQL or through a pooler.</summary>
/// <param name="ConnectionString">Npgsql connection string.</param>
internal sealed record PostgresProbe(string ConnectionString) : HealthProbe
{
    /// <inheritdoc/>
    protected override async Task<HealthResult> TryAsync(CancellationToken cancellationToken)
    {
        var settings = new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false, ApplicationName = "localrun-check" };
        var connection = new NpgsqlConnection(settings.ConnectionString);
        await using (connection.ConfigureAwait(false))
        {
            await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
            var command = new NpgsqlCommand("SELECT 1", connection);
            await using (command.ConfigureAwait(false))
            {
                return await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false) is 1
                    ? new HealthResult(true, "SELECT 1 answers")
                    : new HealthResult(false, "SELECT 1 answers something else");
            }
        }
    }
}

/// <summary>PING.</summary>
/// <param name="Host">Address.</param>
/// <param name="Port">Port.</param>
/// <param name="Password">Password; none when null.</param>
internal sealed record RedisProbe(string Host, int Port, string? Password) : HealthProbe
{
    /// <inheritdoc/>
    protected override async Task<HealthResult> TryAsync(CancellationToken cancellationToken) =>
        await RedisServer.PingAsync(Host, Port, Password, cancellationToken).ConfigureAwait(false)
            ? new HealthResult(true, "PING answers")
            : new HealthResult(false, "PING does not answer");
}
