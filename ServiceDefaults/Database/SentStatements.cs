using System.Diagnostics;
using System.Runtime.CompilerServices;
using Npgsql;

namespace ServiceDefaults.Database;

/// <summary>The texts of a command's statements as Npgsql is about to send them.</summary>
/// <remarks>
/// Npgsql starts a command's span when it has already taken the command's text, so that nothing public can put the
/// span's own id into what is sent: an interceptor, which runs before, knows the request's span only. The enrichment
/// callback runs between the two, and the text is in a property that is internal, the same since Npgsql 9. Should
/// another version lack it, statements are sent as they are, and a test fails.
/// </remarks>
internal static class SentStatements
{
    private static bool _isAvailable = true;

    public static void Mark(Activity span, NpgsqlCommand command) => Mark(span, command, static command => Statements(command));

    public static void Mark(Activity span, NpgsqlBatch batch) => Mark(span, batch, static batch => batch.BatchCommands);

    private static void Mark<T>(Activity span, T command, Func<T, IEnumerable<NpgsqlBatchCommand>> statements)
    {
        if (!_isAvailable || TraceParent.Of(span) is not { } traceParent)
            return;

        var pairs = $"traceparent='{traceParent}'";
        if (span.TraceStateString is { Length: > 0 } traceState)
            pairs += $",tracestate='{Uri.EscapeDataString(traceState)}'";

        try
        {
            foreach (var statement in statements(command))
            {
                // One that has a name is parsed once for many traces.
                if (Name(statement).Length == 0 && Text(statement) is { Length: > 0 } text)
                    SetText(statement, WithComment(text, pairs));
            }
        }
        catch (MissingMethodException)
        {
            _isAvailable = false;
        }
    }

    // A comment to the end of the line would swallow ours.
    private static string WithComment(string text, string pairs) =>
        $"{text}{(text.Contains("--", StringComparison.Ordinal) ? '\n' : ' ')}/*{pairs}*/";

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_InternalBatchCommands")]
    private static extern List<NpgsqlBatchCommand> Statements(NpgsqlCommand command);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_StatementName")]
    private static extern byte[] Name(NpgsqlBatchCommand statement);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_FinalCommandText")]
    private static extern string? Text(NpgsqlBatchCommand statement);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_FinalCommandText")]
    private static extern void SetText(NpgsqlBatchCommand statement, string? text);
}
