using System.Globalization;
using Pooler.Engine.Pools;
using Pooler.Engine.Sessions;

namespace Pooler.Engine.Advice;

/// <summary>What a PostgreSQL server has said of itself.</summary>
/// <param name="MaxConnections">max_connections.</param>
/// <param name="Connections">Connections to all its databases.</param>
internal sealed record ServerFact(int MaxConnections, int Connections);

/// <summary>
/// Asks each PostgreSQL server now and then for what pool sizes have to be compared with. Every user may ask for that. It
/// is asked on an idle server connection of a pool that has traffic anyway: none is opened, kept open or waited for because
/// of it.
/// </summary>
/// <param name="core">The engine.</param>
/// <param name="period">Time between two looks.</param>
internal sealed class ServerFacts(EngineCore core, TimeSpan period)
{
    // Looks: five minutes.
    private const int Freshness = 60;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    // With nothing that search_path could lead elsewhere, as clients may have set one.
    private const string Question =
        "SELECT pg_catalog.current_setting('max_connections'), pg_catalog.sum(s.numbackends) FROM pg_catalog.pg_stat_database s";

    private readonly Dictionary<(string? Host, int Port), Answer> _answers = [];
    private readonly Lock _lock = new();

    /// <summary>What is known of a server; null when it has not been asked yet, or has not answered.</summary>
    public ServerFact? Of((string? Host, int Port) server)
    {
        lock (_lock) return _answers.GetValueOrDefault(server)?.Fact;
    }

    /// <summary>Asks a server on a connection of one of its pools, unless its answer is fresh.</summary>
    public void Ask((string? Host, int Port) server, Pool pool)
    {
        var now = core.Now;
        Answer answer;
        lock (_lock)
        {
            if (!_answers.TryGetValue(server, out var known)) _answers[server] = known = new Answer();
            if (known.IsPending || (known.AskedAt is { } asked && now - asked < (period * Freshness).TotalMicroseconds)) return;
            (known.IsPending, known.AskedAt) = (true, now);
            answer = known;
        }
        var query = new ServerQuery(core, pool, core.Loops[0], Question) { ForgetsClients = false };
        _ = AskAsync(query, answer);
    }

    private async Task AskAsync(ServerQuery query, Answer answer)
    {
        var running = query.RunAsync();
        // The idle connection may have been taken meanwhile: then there is somebody who needs one more than this does.
        using var impatience = core.TimeProvider.CreateTimer(static state => ((ServerQuery)state!).Abandon(), query, Patience, Timeout.InfiniteTimeSpan);
        var ended = await Task.WhenAny(running, Task.Delay(Patience * 2, core.TimeProvider)).ConfigureAwait(false);
        var fact = ended == running && running.Result is { Error: null, Rows: [[{ } max, { } used]] }
            && int.TryParse(max, CultureInfo.InvariantCulture, out var most) && int.TryParse(used, CultureInfo.InvariantCulture, out var inUse)
            ? new ServerFact(most, inUse)
            : null;
        lock (_lock)
        {
            answer.IsPending = false;
            answer.Fact = fact ?? answer.Fact;
        }
    }

    private sealed class Answer
    {
        public long? AskedAt { get; set; }

        public bool IsPending { get; set; }

        public ServerFact? Fact { get; set; }
    }
}
