using Pooler.Engine.Configuration;
using Pooler.Engine.Handover;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Console;

/// <summary>SHOW, SET and the commands that do something; also what drivers send around them.</summary>
internal sealed class ConsoleCommands(ShowCatalog shows)
{
    // PgBouncer's tables stand in its lines; ours come from the catalog, in a line of their own.
    private static readonly string[] ShowLines =
    [
        "SHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION",
        "SHOW PEERS|PEER_POOLS",
        "SHOW FDS|SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE",
        "SHOW DNS_HOSTS|DNS_ZONES",
        "SHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS",
    ];

    private static readonly string[] CommandLines =
    [
        "SET key = arg",
        "RELOAD",
        "PAUSE [<db>]",
        "RESUME [<db>]",
        "DISABLE <db>",
        "ENABLE <db>",
        "RECONNECT [<db>]",
        "KILL [<db>]",
        "KILL_CLIENT <client_id>",
        "SUSPEND",
        "SHUTDOWN",
        "SHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS",
        "WAIT_CLOSE [<db>]",
        "SELECT ... FROM SHOW ... [WHERE ...] [GROUP BY ...] [ORDER BY ...] [LIMIT n]",
    ];

    private readonly PgError _help = new("NOTICE", "00000", "Console usage")
    {
        Detail = "\n\t" + string.Join("\n\t", [.. ShowLines, .. OwnTables(shows), .. CommandLines]),
    };

    /// <summary>Parses the statement that begins here.</summary>
    /// <exception cref="ConsoleException">There is no such command.</exception>
    public ConsoleStatement Parse(TokenReader tokens)
    {
        var command = tokens.Next();
        var statement = command.Kind == TokenKind.Word ? Parse(command.Text.ToUpperInvariant(), tokens) : null;
        return statement is not null && tokens.AtStatementEnd ? statement : throw Invalid(tokens.Source);
    }

    /// <summary>The statement that shows a table.</summary>
    public static ConsoleStatement Show(ShowTable table) => new(table.Columns, async (session, _) =>
    {
        if (table.AdminOnly) DemandAdmin(session);
        if (table.Name == DescriptorRows.TableName && session is { IsOwnProcess: true, Console.Core.IsSuspended: true })
        {
            var sockets = await Task.Run(new DescriptorRows(session.Console).WithSecrets).ConfigureAwait(false);
            session.Console.Core.HasShownDescriptors = true;
            return new ConsoleAnswer("SHOW") { Rows = [.. sockets.Select(s => s.Cells)], Descriptors = [.. sockets.Select(s => s.Descriptor)] };
        }
        // Off the loop: a table of thousands of clients takes a while to gather.
        var read = await Task.Run(table.Read).ConfigureAwait(false);
        return new ConsoleAnswer("SHOW") { Rows = read.Rows };
    });

    private static ConsoleException Invalid(string text) => ConsoleException.Command($"invalid command '{text}', use SHOW HELP;");

    private static string[] OwnTables(ShowCatalog shows)
    {
        var known = ShowLines.SelectMany(line => line["SHOW ".Length..].Split('|')).ToHashSet();
        var own = shows.Tables.Select(t => t.Name.ToUpperInvariant()).Where(name => !known.Contains(name)).ToArray();
        return own.Length == 0 ? [] : ["SHOW " + string.Join('|', own)];
    }

    private ConsoleStatement? Parse(string command, TokenReader tokens)
    {
        switch (command)
        {
            case "SHOW":
                return ParseShow(tokens);
            case "SET":
                return ParseSet(tokens);
            case "RELOAD":
                return Admin("RELOAD", ReloadAsync);
            case "PAUSE":
                return OnDatabase("PAUSE", "pause", tokens, (s, db) => s.Console.Engine.PauseAsync(db, s.StatementCancelled));
            case "RESUME":
                return OnDatabase("RESUME", null, tokens, (s, db) =>
                {
                    s.Console.Engine.Resume(db);
                    return Task.CompletedTask;
                });
            case "RECONNECT":
                return OnDatabase("RECONNECT", "reconnect", tokens, (s, db) =>
                {
                    s.Console.Engine.Reconnect(db);
                    return Task.CompletedTask;
                });
            case "KILL":
                return OnDatabase("KILL", "kill", tokens, (s, db) => s.Console.Core.Administration.KillAsync(db), logs: true);
            case "WAIT_CLOSE":
                return OnDatabase("WAIT_CLOSE", "wait in", tokens, (s, db) => s.Console.Core.Administration.WaitCloseAsync(db, s.StatementCancelled), logs: true);
            case "DISABLE":
                return OnDatabase("DISABLE", "disable", tokens, (s, db) => SetDisabled(s, db, true), required: true, logs: true);
            case "ENABLE":
                return OnDatabase("ENABLE", "enable", tokens, (s, db) => SetDisabled(s, db, false), required: true, logs: true);
            case "KILL_CLIENT":
                return ParseKillClient(tokens);
            case "SUSPEND":
                return Admin("SUSPEND", s => s.Console.Engine.SuspendAsync(s.StatementCancelled));
            case "SHUTDOWN":
                return ParseShutdown(tokens);
            case Predecessor.ConsoleCommand:
                return new ConsoleStatement(null, (session, _) =>
                {
                    DemandAdmin(session);
                    if (!session.IsOwnProcess) throw new ConsoleException(PgError.Error("42501", "only the user that runs this process may take over from it"));
                    session.Console.Engine.CheckHandover();
                    return Task.FromResult(new ConsoleAnswer(Predecessor.ConsoleCommand) { Afterwards = session.LeaveForHandover });
                });
            default:
                return ParseOfDrivers(command, tokens);
        }
    }

    private ConsoleStatement? ParseShow(TokenReader tokens)
    {
        if (tokens.AtStatementEnd) return null;
        var name = tokens.TakeName();
        if (name.Equals("help", StringComparison.OrdinalIgnoreCase)) return ConsoleStatement.Of("SHOW", _help);
        if (shows.TryFind(name, out var table)) return Show(table);
        if (!ConsoleParameters.Fixed.TryGetValue(name, out var value)) return null;
        var answer = Task.FromResult(new ConsoleAnswer("SHOW") { Rows = [[value]] });
        return new ConsoleStatement([new ConsoleColumn(name.ToLowerInvariant(), ColumnType.Text)], (_, _) => answer);
    }

    private static ConsoleStatement? ParseSet(TokenReader tokens)
    {
        if (tokens.IsWord("session") || tokens.IsWord("local")) tokens.Next();
        if (tokens.AtStatementEnd) return null;
        var name = tokens.Next().Text;
        if (!tokens.TakeSymbol("=") && !tokens.TakeWord("to")) return null;
        if (tokens.AtStatementEnd) return null;
        var rest = tokens.Current is { Kind: TokenKind.String or TokenKind.QuotedName } quoted && quoted.End == End(tokens)
            ? tokens.Next().Text
            : tokens.TakeRest();
        if (ConsoleParameters.Fixed.ContainsKey(name) || ConsoleParameters.SetByDrivers.Contains(name))
            return ConsoleStatement.Of("SET", new PgError("NOTICE", "00000", "SET ignored"));
        // The only parameter of PostgreSQL's that shows: in SHOW CLIENTS.
        if (name.Equals("application_name", StringComparison.OrdinalIgnoreCase))
            return ConsoleStatement.Of("SET", session => session.ApplicationName = rest);
        return new ConsoleStatement(null, async (session, _) =>
        {
            DemandAdmin(session);
            return await Task.Run(() => Set(session, name, rest)).ConfigureAwait(false);
        });
    }

    private static ConsoleAnswer Set(ConsoleSession session, string name, string value)
    {
        var answer = new ConsoleAnswer($"SET {name}={value}");
        if (SettingsTable.NeedsRestart(name))
        {
            // PgBouncer says nothing at all.
            return answer with { Notice = new PgError("NOTICE", "00000", $"{name} cannot be changed while running: change the configuration and restart") };
        }
        var applied = session.Console.Engine.ChangeSettings(settings => SettingsTable.TrySet(settings, name, value, out var changed, out var error)
            ? changed
            : throw ConsoleException.Command("SET failed", detail: error));
        session.Console.Core.Log.Command($"SET {name}");
        return applied ? answer : answer with { Notice = new PgError("NOTICE", "00000", "TLS settings could not be applied, still using old configuration") };
    }

    private static int End(TokenReader tokens)
    {
        var end = 0;
        foreach (var token in tokens.Statement) end = token.End;
        return end;
    }

    private static ConsoleStatement ParseKillClient(TokenReader tokens)
    {
        var argument = tokens.AtStatementEnd ? "" : tokens.TakeName();
        return Admin("KILL_CLIENT", session =>
        {
            if (!long.TryParse(argument, out var id))
                throw ConsoleException.Command("invalid client pointer supplied", hint: "Give the number in column id of SHOW CLIENTS.");
            var core = session.Console.Core;
            core.Log.Command($"KILL_CLIENT {id}");
            if (core.Consoles.FirstOrDefault(c => c.Id == id) is not { } console) return core.Administration.KillClientAsync(id);
            core.RunOn(console.Connection.Loop, static state => ((ConsoleSession)state!).Fail(PgError.Fatal(
                SqlState.AdminShutdown, "admin forced disconnect", hint: "An administrator issued KILL_CLIENT.")), console);
            return Task.CompletedTask;
        });
    }

    private static ConsoleStatement? ParseShutdown(TokenReader tokens)
    {
        var mode = ShutdownMode.Immediate;
        if (!tokens.AtStatementEnd)
        {
            if (tokens.TakeWord("wait_for_servers")) mode = ShutdownMode.WaitForServers;
            else if (tokens.TakeWord("wait_for_clients")) mode = ShutdownMode.WaitForClients;
            else return null;
        }
        // Immediate: the answer is the end of this connection, too.
        if (mode == ShutdownMode.Immediate) return Admin("SHUTDOWN", session => session.Console.Engine.ShutdownAsync(mode));
        return new ConsoleStatement(null, (session, _) =>
        {
            DemandAdmin(session);
            var engine = session.Console.Engine;
            engine.BeginShutdown(mode);
            // There may be nothing to wait for: the answer goes first. What follows is not for a loop's thread.
            return Task.FromResult(new ConsoleAnswer("SHUTDOWN") { Afterwards = () => Task.Run(() => engine.ShutdownAsync(mode)) });
        });
    }

    /// <summary>
    /// What drivers send when they connect, give a connection back to their pool, or are asked for a transaction. There is
    /// nothing to reset but prepared statements, and nothing to roll back.
    /// </summary>
    private static ConsoleStatement? ParseOfDrivers(string command, TokenReader tokens)
    {
        switch (command)
        {
            case "BEGIN" or "START":
                tokens.SkipStatement();
                return ConsoleStatement.Of(command == "START" ? "START TRANSACTION" : "BEGIN", session => session.InTransaction = true);
            case "COMMIT" or "END":
                tokens.SkipStatement();
                return ConsoleStatement.Of("COMMIT", session => session.InTransaction = false);
            case "ROLLBACK" or "ABORT":
                tokens.SkipStatement();
                return ConsoleStatement.Of("ROLLBACK", session => session.InTransaction = false);
            case "DISCARD" when !tokens.AtStatementEnd:
                var what = tokens.Next().Text.ToUpperInvariant();
                return ConsoleStatement.Of($"DISCARD {what}", session =>
                {
                    if (what == "ALL") session.ForgetStatements();
                });
            case "DEALLOCATE" when !tokens.AtStatementEnd:
                tokens.TakeWord("prepare");
                if (tokens.TakeWord("all")) return ConsoleStatement.Of("DEALLOCATE ALL", session => session.ForgetStatements());
                var name = tokens.TakeName();
                return ConsoleStatement.Of("DEALLOCATE", session =>
                {
                    if (!session.ForgetStatement(name))
                        throw new ConsoleException(PgError.Error("26000", $"prepared statement \"{name}\" does not exist"));
                });
            case "RESET":
                tokens.SkipStatement();
                return ConsoleStatement.Of("RESET");
            case "UNLISTEN":
                tokens.SkipStatement();
                return ConsoleStatement.Of("UNLISTEN");
            case "CLOSE" when tokens.TakeWord("all"):
                return ConsoleStatement.Of("CLOSE CURSOR ALL");
            default:
                return null;
        }
    }

    /// <summary>A command for admins, run off the loop: it may take locks or read files.</summary>
    private static ConsoleStatement Admin(string tag, Func<ConsoleSession, Task> run) => new(null, async (session, _) =>
    {
        DemandAdmin(session);
        await Task.Run(() => run(session)).ConfigureAwait(false);
        return new ConsoleAnswer(tag);
    });

    private static ConsoleStatement OnDatabase(
        string command, string? verb, TokenReader tokens, Func<ConsoleSession, string?, Task> run, bool required = false, bool logs = false)
    {
        var name = tokens.AtStatementEnd ? null : tokens.TakeName();
        return Admin(command, session =>
        {
            var core = session.Console.Core;
            if (name is null && required)
                throw ConsoleException.Command("a database is required");
            if (name == EngineCore.ConsoleDatabase && verb is not null)
                throw ConsoleException.Command($"cannot {verb} admin db: {name}");
            if (command is "PAUSE" or "KILL" && core.Administration.StandStill != StandStill.None) throw new AdministrationException("already suspended/paused");
            if (logs) core.Log.Command(name is null ? command : $"{command} '{name}'");
            // Makes a database of the * entry known, so that it can be paused before its first client.
            if (name is not null && command != "RESUME") core.Directory.FindDatabase(name);
            return run(session, name);
        });
    }

    private static Task SetDisabled(ConsoleSession session, string? name, bool disabled)
    {
        session.Console.Core.Administration.SetDisabled(name!, disabled);
        return Task.CompletedTask;
    }

    private static Task ReloadAsync(ConsoleSession session)
    {
        ConfigurationResult result;
        try
        {
            result = session.Console.Engine.Reload();
        }
        catch (AdministrationException e)
        {
            throw Failed(e.Message);
        }
        if (result.Configuration is null) throw Failed(string.Join('\n', result.Errors));
        return Task.CompletedTask;

        // F0000 is config_file_error.
        static ConsoleException Failed(string detail) => new(PgError.Error("F0000", "RELOAD failed, see logs for additional details", detail: detail));
    }

    private static void DemandAdmin(ConsoleSession session)
    {
        if (!session.IsAdmin) throw ConsoleException.Command("admin access needed");
    }
}
