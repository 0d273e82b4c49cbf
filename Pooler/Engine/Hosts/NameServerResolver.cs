using System.Net;
using System.Net.Sockets;
using DnsClient;
using DnsClient.Protocol;

namespace Pooler.Engine.Hosts;

/// <summary>
/// Asks name servers itself, those that a resolv.conf names. /etc/hosts comes first, as with the resolvers that PgBouncer
/// can be built with.
/// </summary>
internal sealed class NameServerResolver : INameResolver
{
    private const string HostsFile = "/etc/hosts";

    private readonly ResolverFile _file;
    private readonly LookupClient _client;
    private readonly string _hostsFile;

    public NameServerResolver(ResolverFile file, string hostsFile = HostsFile)
    {
        _file = file;
        _hostsFile = hostsFile;
        _client = new LookupClient(new LookupClientOptions([.. file.NameServers])
        {
            AutoResolveNameServers = false,
            // We keep answers ourselves.
            UseCache = false,
            Timeout = file.Timeout,
            Retries = file.Attempts - 1,
            UseRandomNameServer = file.Rotate,
            ThrowDnsErrors = false,
        });
    }

    public async Task<IReadOnlyList<IPAddress>> ResolveAsync(string name)
    {
        if (await ReadHostsFileAsync(name).ConfigureAwait(false) is { Count: > 0 } local) return local;
        string? trouble = null;
        foreach (var candidate in _file.Candidates(name))
        {
            var found = await Task.WhenAll(AskAsync(candidate, QueryType.A), AskAsync(candidate, QueryType.AAAA)).ConfigureAwait(false);
            IPAddress[] addresses = [.. found[0].Addresses, .. found[1].Addresses];
            if (addresses.Length > 0) return addresses;
            trouble ??= found[0].Trouble ?? found[1].Trouble;
        }
        throw trouble is null
            ? new NameLookupException("the name does not exist or has no address", isTemporary: false)
            : new NameLookupException(trouble, isTemporary: true);
    }

    public async Task<uint?> ReadSerialAsync(string zone)
    {
        foreach (var candidate in _file.Candidates(zone))
        {
            try
            {
                var answer = await _client.QueryAsync(candidate, QueryType.SOA).ConfigureAwait(false);
                if (answer.Answers.SoaRecords().FirstOrDefault() is { } soa) return soa.Serial;
            }
            catch (Exception e) when (IsLookupFailure(e))
            {
                return null;
            }
        }
        return null;
    }

    private async Task<(IPAddress[] Addresses, string? Trouble)> AskAsync(string name, QueryType type)
    {
        try
        {
            var answer = await _client.QueryAsync(name, type).ConfigureAwait(false);
            IPAddress[] addresses = [.. answer.Answers.OfType<AddressRecord>().Select(record => record.Address)];
            var code = answer.Header.ResponseCode;
            return (addresses, code is DnsHeaderResponseCode.NoError or DnsHeaderResponseCode.NotExistentDomain ? null : answer.ErrorMessage);
        }
        catch (Exception e) when (IsLookupFailure(e))
        {
            return ([], e.Message);
        }
    }

    private static bool IsLookupFailure(Exception e) =>
        e is DnsResponseException or SocketException or ArgumentException or OperationCanceledException or InvalidOperationException;

    private async Task<List<IPAddress>> ReadHostsFileAsync(string name)
    {
        var addresses = new List<IPAddress>();
        try
        {
            await foreach (var line in File.ReadLinesAsync(_hostsFile).ConfigureAwait(false))
            {
                var words = line.Split('#')[0].Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
                if (words.Length > 1 && words.Skip(1).Contains(name, StringComparer.OrdinalIgnoreCase)
                    && IPAddress.TryParse(words[0], out var address) && !addresses.Contains(address)) addresses.Add(address);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            addresses.Clear();
        }
        return addresses;
    }
}
