using System.Text;

namespace Pooler.Engine.Advice;

/// <summary>Writes the list of rules, docs/advice.md, from the table.</summary>
public static class AdviceReference
{
    /// <summary>The whole document.</summary>
    public static string Markdown()
    {
        var text = new StringBuilder();
        text.Append(
            """
            # Advice

            <!-- Written by `pooler --print-advice` from the rules: change those, not this. A test compares them. -->

            Every five seconds the pooler looks at its own figures, and says what could be better: what is the matter, the figures that
            show it, and the setting to change and to what, where the remedy is a setting.

            ```
            psql "host=127.0.0.1 port=6432 user=app dbname=pgbouncer" -x -c "SHOW ADVICE"
            ```

            The same stands on the live page, in the metric `pooler.advice` (`pooler_advice` for Prometheus; by rule, level, database and
            user), and in the log: once when it appears, as a warning when somebody waits or fails because of it and as info otherwise, and
            once when it has gone. `SHOW ADVICE` has the columns `rule`, `level`, `database`, `user`, `finding`, `evidence`, `setting`,
            `current`, `suggested`, `remedy` and `since`; times in `current` and `suggested` are in seconds.

            Advice comes from what lasts, not from a moment: most rules want the same in three of the last six intervals of five seconds
            and in the last one. It stays for half a minute after it was last true. Of the reasons why the clients of a pool wait
            (pool-too-small, database-saturated, long-transactions) one is told at a time.

            Two facts come from the PostgreSQL server: its `max_connections`, which is asked every five minutes on an idle server
            connection of a pool with traffic (any user may ask), and its cores, which PostgreSQL tells nobody. Where it runs on this
            machine the cores are known; elsewhere set `server_cores`, or rules about cores stay silent.

            | Rule | What it sees |
            |---|---|

            """);
        foreach (var rule in AdviceRules.All) text.Append("| [").Append(rule.Name).Append("](#").Append(rule.Name).Append(") | ").Append(rule.Sees).Append(" |\n");
        foreach (var rule in AdviceRules.All)
        {
            text.Append("\n## ").Append(rule.Name).Append("\n\n**Sees.** ").Append(rule.Sees)
                .Append("\n\n**Why it matters.** ").Append(rule.Matters)
                .Append("\n\n**What to do.** ").Append(rule.Remedy).Append('\n');
        }
        return text.ToString();
    }
}
