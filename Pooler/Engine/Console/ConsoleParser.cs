namespace Pooler.Engine.Console;

/// <summary>
/// Text to statements: SHOW, SELECT and SET here, the rest by <see cref="ConsoleCommands"/>. Statements are separated by
/// semicolons; PgBouncer takes one only, but drivers reset a connection with several.
/// </summary>
internal sealed class ConsoleParser(ShowCatalog shows)
{
    private readonly ConsoleCommands _commands = new(shows);

    /// <summary>Parses a whole query; gives one empty statement when there is nothing in it.</summary>
    /// <param name="sql">The text.</param>
    /// <param name="parameterTypes">Oids the client gave for the first parameters; 0 leaves one to us.</param>
    /// <exception cref="ConsoleException">It is not understood.</exception>
    public IReadOnlyList<ConsoleStatement> Parse(string sql, int[] parameterTypes)
    {
        var tokens = new TokenReader(sql);
        var statements = new List<ConsoleStatement>();
        while (true)
        {
            while (tokens.TakeSymbol(";"))
            {
            }
            if (tokens.AtEnd) break;
            statements.Add(ParseOne(tokens, parameterTypes));
            if (!tokens.AtEnd && !tokens.IsSymbol(";")) throw tokens.Unexpected();
        }
        return statements.Count > 0 ? statements : [ConsoleStatement.Empty];
    }

    private ConsoleStatement ParseOne(TokenReader tokens, int[] parameterTypes)
    {
        if (TypeCatalog.Recognize(tokens) is { } catalog) return catalog;
        if (tokens.IsWord("select")) return new SelectParser(tokens, shows, parameterTypes).Parse();
        return _commands.Parse(tokens);
    }
}
