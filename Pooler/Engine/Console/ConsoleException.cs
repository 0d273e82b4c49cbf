using Pooler.Engine.Protocol;

namespace Pooler.Engine.Console;

/// <summary>A statement of the console fails, with what its client is to be told.</summary>
internal sealed class ConsoleException(PgError error) : Exception(error.Message)
{
    public PgError Error { get; } = error;

    /// <summary>A command fails. PgBouncer has one code for all of them, and its users catch that.</summary>
    public static ConsoleException Command(string message, string? hint = null, string? detail = null) =>
        new(PgError.Error(SqlState.ProtocolViolation, message, hint, detail));

    public static ConsoleException Syntax(string message, int? position = null) =>
        new(PgError.Error("42601", message) with { Position = position });
}
