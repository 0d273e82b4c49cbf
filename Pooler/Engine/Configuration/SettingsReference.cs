using System.Text;

namespace Pooler.Engine.Configuration;

/// <summary>Writes the configuration reference, docs/configuration.md, from the settings table.</summary>
public static class SettingsReference
{
    /// <summary>The whole document.</summary>
    public static string Markdown()
    {
        var text = new StringBuilder();
        text.Append(
            """
            # Configuration

            <!-- Written by `pooler --print-reference` from the settings table: change that, not this. A test compares them. -->

            Sources, weakest first; a later one overrides single settings of an earlier one:

            1. `appsettings.json` next to the program or in the working directory, section `Pooler`.
            2. The configuration file of the command line (or of `POOLER_CONFFILE`), in PgBouncer's ini format.
            3. Environment variables.
            4. Options of the command line (`-v`, `-u`).

            What changes for those who come from PgBouncer: [migrating-from-pgbouncer.md](migrating-from-pgbouncer.md).

            A wrong or unknown setting stops the start with exit code 1; on RELOAD everything stays as it was. All mistakes are
            reported at once, each with file and line or the variable's name. Secrets never appear in messages or on the console.

            ## File

            Sections `[pgbouncer]`, `[databases]`, `[users]` and `[peers]`. Lines that start with `;` or `#` are comments, a later key
            overrides an earlier one, `%include FILE` reads another file (relative to the working directory). Entries of the last three
            sections are `name = key=value key='value with spaces'`, where `''` within quotes is one quote. Names with spaces or `=` need
            double quotes. The database `*` serves every name that has no entry of its own; `pgbouncer` is the admin console.

            ```ini
            [databases]
            shop = host=10.0.0.5 dbname=shop pool_size=25

            [pgbouncer]
            listen_addr = *
            auth_type = scram-sha-256
            auth_file = userlist.txt
            admin_users = postgres
            ```

            ## Environment

            A setting is named by, weakest first:

            | Spelling | Example |
            |---|---|
            | bare, where the table says so | `POOL_MODE` |
            | prefixed as for PgBouncer's images | `PGBOUNCER_POOL_MODE` |
            | .NET's | `Pooler__PoolMode` |
            | our own prefix | `POOLER_POOL_MODE` |

            Names that anything on a machine may set (`USER`, `VERBOSE`, `LOGFILE`, `PIDFILE` …) are read with a prefix only, and
            `PGBOUNCER_USER` not at all: applications use it for their login. An empty variable counts as not set, except for texts.

            One database can be described by variables alone: `DATABASES_HOST`, `DATABASES_PORT`, `DATABASES_USER`,
            `DATABASES_PASSWORD`, `DATABASES_DBNAME` and every other key of `[databases]`. Clients find it under the name
            `DATABASES_CLIENT_SIDE_DBNAME`, else `DATABASES_DBNAME`; without either it is `*`. Or by
            `DATABASE_URL=postgres://user:password@host:port/dbname` (read bare only without a configuration file, since in a shared
            environment it points at the pooler; `POOLER_DATABASE_URL` is always read). `DATABASES_…` overrides parts of the URL.
            The user given so is known with that password, logs in to the server with it, and is console admin unless `admin_users` is
            set. With `auth_type = any` it becomes the forced user.

            ## appsettings.json

            ```json
            {
              "Pooler": {
                "PoolMode": "transaction",
                "Databases": { "shop": { "Host": "10.0.0.5", "PoolSize": 25 } },
                "Users": { "alice": { "Password": "…" } }
              }
            }
            ```

            Names may also be written as in the ini file (`pool_mode`), and an entry of `Databases` as one string of `key=value`.

            ## Settings of section [pgbouncer]

            Those with a dagger (†) need a restart, the others follow RELOAD and the console's SET. Times are seconds, decimals allowed.

            | Setting | Default | Allowed | Bare in the environment | Also per | Meaning | Differs from PgBouncer |
            |---|---|---|---|---|---|---|

            """);
        foreach (var setting in GlobalSettings.All.Where(s => !s.Own)) Global(text, setting);

        text.Append(
            """

            ### Beyond PgBouncer's

            | Setting | Default | Allowed | Bare in the environment | Also per | Meaning | Note |
            |---|---|---|---|---|---|---|

            """);
        foreach (var setting in GlobalSettings.All.Where(s => s.Own)) Global(text, setting);

        Scope(text, "Keys of [databases]", DatabaseKeys.All, new DatabaseSettings { Name = "" });
        Scope(text, "Keys of [users]", UserKeys.All, new UserSettings { Name = "" });
        Scope(text, "Keys of [peers]", PeerKeys.All, new PeerSettings { Id = 1 });
        return text.ToString();
    }

    private static void Global(StringBuilder text, Setting<PoolerSettings> setting)
    {
        text.Append($"| {Code(setting.Name)}{(setting.Reloadable ? "" : "†")} | {Code(setting.Show(new PoolerSettings()))} | {Cell(setting.Allowed)} ");
        text.Append($"| {(setting.PlainEnvironment ? "yes" : "")} | {setting.Scopes} | {Meaning(setting)} | {Note(setting)} |\n");
    }

    private static void Scope<T>(StringBuilder text, string title, IEnumerable<Setting<T>> settings, T defaults)
    {
        text.Append($"\n## {title}\n\n| Key | Default | Allowed | Meaning | Differs from PgBouncer |\n|---|---|---|---|---|\n");
        foreach (var setting in settings)
            text.Append($"| {Code(setting.Name)} | {Code(setting.Show(defaults))} | {Cell(setting.Allowed)} | {Meaning(setting)} | {Note(setting)} |\n");
    }

    private static string Meaning<T>(Setting<T> setting)
    {
        var aliases = setting.Aliases.Length == 0 ? "" : $" Also written {string.Join(", ", setting.Aliases.Select(Code))}.";
        return Cell(setting.Meaning) + "." + aliases;
    }

    private static string Note<T>(Setting<T> setting) => Cell(setting.Note ?? (setting.Inert ? "no effect yet" : ""));

    private static string Code(string? value) => string.IsNullOrEmpty(value) ? "" : $"`{value.Replace("|", "\\|", StringComparison.Ordinal)}`";

    private static string Cell(string text) =>
        text.Replace("|", "\\|", StringComparison.Ordinal).Replace("*", "\\*", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal);
}
