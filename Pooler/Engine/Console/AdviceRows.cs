namespace Pooler.Engine.Console;

/// <summary>SHOW ADVICE.</summary>
internal sealed class AdviceRows(AdminConsole console)
{
    public IEnumerable<object?[]> Advice() => console.Engine.Advice().Select(a => new object?[]
    {
        a.Rule, a.Level, a.Database, a.User, a.Finding, a.Evidence, a.Setting, a.Current, a.Suggested, a.Remedy,
        ConsoleTime.Format(a.Since, console.Core.TimeProvider.LocalTimeZone),
    });
}
