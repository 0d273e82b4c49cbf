using System.Text;
using System.Text.RegularExpressions;

namespace Pooler.IntegrationTests.DropIn;

/// <summary>What somebody sees who does things to a pooler: what was done, and what came of it, in order.</summary>
internal sealed partial class Observations(Deployment deployment, int serverPort)
{
    private readonly List<(string What, string Seen)> _all = [];

    public IReadOnlyList<(string What, string Seen)> All => _all;

    public void Add(string what, string seen) => _all.Add((what, Normalize(seen)));

    /// <summary>What cannot be the same twice: ports, pointers, process ids.</summary>
    private string Normalize(string text)
    {
        var result = text
            .Replace(deployment.Directory, "DIRECTORY", StringComparison.Ordinal)
            .Replace($"{deployment.Port}", "POOLER", StringComparison.Ordinal)
            .Replace($"{serverPort}", "SERVER", StringComparison.Ordinal);
        return Ports().Replace(Pointers().Replace(result, "PTR"), "127.0.0.1:PORT");
    }

    public override string ToString() => _all.Aggregate(new StringBuilder(), (text, o) => text.Append($"{o.What}: {o.Seen}\n")).ToString();

    [GeneratedRegex("0x[0-9a-f]+")]
    private static partial Regex Pointers();

    [GeneratedRegex(@"127\.0\.0\.1:\d+")]
    private static partial Regex Ports();
}
