namespace Pooler.Engine.Telemetry;

/// <summary>A wait for a server, or a query, that took longer than slow_wait_time or slow_query_time.</summary>
/// <param name="End">When it ended.</param>
/// <param name="Kind">query or wait.</param>
/// <param name="Duration">How long it took.</param>
/// <param name="Database">The pool's database.</param>
/// <param name="User">The pool's user.</param>
/// <param name="Client">Column ptr of SHOW CLIENTS, as in the log and on spans.</param>
/// <param name="ClientAddress">Where the client comes from.</param>
/// <param name="ApplicationName">What it calls itself.</param>
/// <param name="Query">The SQL, its literals replaced unless parameters may be logged; of a wait, of the request that waited, empty when not known.</param>
/// <param name="TraceId">W3C trace id, when it is part of a trace or has made its own.</param>
public sealed record SlowRequest(
    DateTimeOffset End, string Kind, TimeSpan Duration, string Database, string User, string Client, string ClientAddress,
    string ApplicationName, string Query, string? TraceId)
{
    /// <summary>W3C span id within the trace: of the client's span, or of the one that was made for it.</summary>
    public string? SpanId { get; init; }

    /// <summary>The SQL with its values, for those who may see them; null without log_query_parameters.</summary>
    internal string? QueryWithValues { get; init; }

    /// <summary>The same with <see cref="Query"/> as it was sent, where that is known.</summary>
    internal SlowRequest WithValues() => QueryWithValues is null ? this : this with { Query = QueryWithValues };
}
