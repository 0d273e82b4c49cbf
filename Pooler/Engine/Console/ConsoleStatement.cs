using Pooler.Engine.Protocol;

namespace Pooler.Engine.Console;

/// <summary>What running a statement gave.</summary>
/// <param name="Tag">For CommandComplete; a SELECT's row count is appended when it is sent.</param>
internal sealed record ConsoleAnswer(string Tag)
{
    /// <summary>Rows of the statement's columns.</summary>
    public IReadOnlyList<object?[]> Rows { get; init; } = [];

    /// <summary>Descriptors to send along, one with each row: this process's, which stay open here.</summary>
    public int[]? Descriptors { get; init; }

    /// <summary>To be done once the answer is sent, on the session's loop.</summary>
    public Action? Afterwards { get; init; }

    /// <summary>To be sent before the end.</summary>
    public PgError? Notice { get; init; }
}

/// <summary>
/// A parsed statement. Its columns are known before it runs, as Describe needs it; running may take as long as PAUSE takes.
/// </summary>
/// <param name="Columns">Columns of its result; null when it returns no rows.</param>
/// <param name="Run">Runs it for a session, with the values of its parameters. Begins on the session's loop: must not block.</param>
internal sealed record ConsoleStatement(
    IReadOnlyList<ConsoleColumn>? Columns, Func<ConsoleSession, object?[], Task<ConsoleAnswer>> Run)
{
    /// <summary>Oids of the parameters' types, in order.</summary>
    public int[] ParameterTypes { get; init; } = [];

    /// <summary>Nothing but blanks and comments: answered by EmptyQueryResponse.</summary>
    public bool IsEmpty { get; init; }

    public static readonly ConsoleStatement Empty = new(null, static (_, _) => Task.FromResult(new ConsoleAnswer("")))
    {
        IsEmpty = true,
    };

    /// <summary>A statement whose answer is at hand.</summary>
    public static ConsoleStatement Of(string tag, PgError? notice = null)
    {
        var answer = Task.FromResult(new ConsoleAnswer(tag) { Notice = notice });
        return new ConsoleStatement(null, (_, _) => answer);
    }

    /// <summary>A statement that does something to the session, at once.</summary>
    public static ConsoleStatement Of(string tag, Action<ConsoleSession> action) => new(null, (session, _) =>
    {
        action(session);
        return Task.FromResult(new ConsoleAnswer(tag));
    });
}
