using System.Globalization;
using System.Net;

namespace Pooler.Engine.Hosts;

/// <summary>What a resolv.conf(5) says. Unknown lines and options are passed over, as resolvers do.</summary>
internal sealed record ResolverFile
{
    /// <summary>The operating system's.</summary>
    public const string OfSystem = "/etc/resolv.conf";

    private const int DnsPort = 53;

    // resolv.conf(5) takes three name servers; a few more harm nobody, endless lists would.
    private const int MostServers = 8;
    private const int MostDomains = 32;

    public required IReadOnlyList<IPEndPoint> NameServers { get; init; }

    /// <summary>Domains that names with few dots are tried in.</summary>
    public IReadOnlyList<string> Search { get; init; } = [];

    /// <summary>Names with at least so many dots are first tried as they are.</summary>
    public int Dots { get; init; } = 1;

    /// <summary>Limit of one question to one server.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How often a server is asked.</summary>
    public int Attempts { get; init; } = 2;

    /// <summary>Ask the servers in turn rather than the first one first.</summary>
    public bool Rotate { get; init; }

    /// <summary>Reads a file.</summary>
    /// <exception cref="PoolerStartException">It cannot be read, or names no server.</exception>
    public static ResolverFile Load(string path)
    {
        try
        {
            var file = Parse(File.ReadLines(path));
            return file.NameServers.Count > 0 ? file : throw new PoolerStartException($"resolv_conf: {path} names no name server");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new PoolerStartException($"resolv_conf: could not read {path}: {e.Message}", e);
        }
    }

    public static ResolverFile Parse(IEnumerable<string> lines)
    {
        var servers = new List<IPEndPoint>();
        var file = new ResolverFile { NameServers = servers };
        foreach (var line in lines)
        {
            var words = line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
            if (words.Length < 2 || words[0][0] is '#' or ';') continue;
            switch (words[0])
            {
                case "nameserver" when servers.Count < MostServers && IPEndPoint.TryParse(words[1], out var server):
                    servers.Add(server.Port == 0 ? new IPEndPoint(server.Address, DnsPort) : server);
                    break;
                case "domain":
                    file = file with { Search = [words[1]] };
                    break;
                case "search":
                    file = file with { Search = [.. words.Skip(1).Take(MostDomains)] };
                    break;
                case "options":
                    foreach (var option in words.Skip(1)) file = file.With(option);
                    break;
            }
        }
        return file;
    }

    /// <summary>The full names to ask for, in order.</summary>
    public IEnumerable<string> Candidates(string name)
    {
        if (name.EndsWith('.')) return [name];
        var inDomains = Search.Select(domain => $"{name}.{domain.Trim('.')}");
        return name.Count(c => c == '.') >= Dots ? [name, .. inDomains] : [.. inDomains, name];
    }

    private ResolverFile With(string option)
    {
        var parts = option.Split(':', 2);
        if (parts[0] == "rotate") return this with { Rotate = true };
        if (parts.Length < 2 || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var number)) return this;
        // The limits are resolv.conf(5)'s.
        return parts[0] switch
        {
            "ndots" => this with { Dots = Math.Min(number, 15) },
            "timeout" => this with { Timeout = TimeSpan.FromSeconds(Math.Clamp(number, 1, 30)) },
            "attempts" => this with { Attempts = Math.Clamp(number, 1, 5) },
            _ => this,
        };
    }
}
