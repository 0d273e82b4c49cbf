using System.Net;
using Pooler.Engine.Configuration;
using Pooler.Engine.Hosts;
using Pooler.UnitTests.Sessions;
using Testing;
using Xunit;

namespace Pooler.UnitTests.Hosts;

public sealed class DnsCacheTests
{
    private readonly FakeResolver _resolver = new();
    private readonly ManualClock _clock = new();
    private readonly List<DnsOutcome> _outcomes = [];
    private readonly DnsCache _cache;

    public DnsCacheTests()
    {
        var settings = new PoolerSettings { DnsMaxTtl = TimeSpan.FromSeconds(15), DnsNxdomainTtl = TimeSpan.FromSeconds(5) };
        _cache = new DnsCache(_resolver, () => settings, () => _clock.Now, outcome =>
        {
            lock (_outcomes) _outcomes.Add(outcome);
        });
    }

    [Fact]
    public async Task All_who_want_a_name_at_once_share_one_query_and_take_its_addresses_in_turn()
    {
        var answer = new TaskCompletionSource<string>();
        _resolver.Answer = _ => answer.Task;
        var lookups = Enumerable.Range(0, 4).Select(_ => _cache.LookUpAsync("db.test").AsTask()).ToArray();
        Assert.Equal(1, _cache.ActiveQueries);

        answer.SetResult("10.0.0.1 10.0.0.2 10.0.0.3");
        var firsts = (await Task.WhenAll(lookups)).Select(l => l.Addresses[0].ToString());

        Assert.Equal(["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3"], firsts.Order());
        Assert.Equal(["db.test"], _resolver.Asked);
        Assert.Equal(0, _cache.ActiveQueries);
        Assert.Equal("10.0.0.2,10.0.0.3,10.0.0.1", await LookUpAsync("db.test"));
    }

    [Fact]
    public async Task An_answer_is_kept_for_dns_max_ttl_and_a_failure_for_dns_nxdomain_ttl()
    {
        _resolver.Answer = name => Task.FromResult(name == "good.test" ? "10.0.0.1" : "!no such name");
        Assert.Equal("10.0.0.1", await LookUpAsync("good.test"));
        Assert.Equal("no such name", await LookUpAsync("bad.test"));
        Assert.Equal((15_000_000L, 5_000_000L), (TimeToLive("good.test"), TimeToLive("bad.test")));

        _clock.Now += 4_900_000;
        await LookUpAsync("good.test");
        await LookUpAsync("bad.test");
        Assert.Equal(2, _resolver.Asked.Count);

        _clock.Now += 200_000;
        await LookUpAsync("good.test");
        await LookUpAsync("bad.test");
        Assert.Equal(["good.test", "bad.test", "bad.test"], _resolver.Asked);

        _clock.Now += 10_000_000;
        Assert.Equal(0, TimeToLive("good.test"));
        await LookUpAsync("good.test");
        Assert.Equal(4, _resolver.Asked.Count);
    }

    [Fact]
    public async Task Addresses_that_are_gone_are_told()
    {
        _resolver.Answer = _ => Task.FromResult("10.0.0.1 10.0.0.2");
        await LookUpAsync("db.test");
        _clock.Now += 16_000_000;
        _resolver.Answer = _ => Task.FromResult("10.0.0.2 10.0.0.3");
        await LookUpAsync("db.test");

        Assert.Equal(["", "10.0.0.1"], _outcomes.Select(o => string.Join(',', o.Gone)));
    }

    [Fact]
    public async Task Name_servers_that_do_not_answer_take_no_address_away_and_a_name_that_is_gone_does()
    {
        _resolver.Answer = _ => Task.FromResult("10.0.0.1");
        await LookUpAsync("db.test");
        _clock.Now += 16_000_000;
        _resolver.Answer = _ => Task.FromResult("?timeout");
        Assert.Equal("10.0.0.1", await LookUpAsync("db.test"));
        Assert.Equal("timeout", await LookUpAsync("never.test"));

        _clock.Now += 6_000_000;
        _resolver.Answer = _ => Task.FromResult("!no such name");
        Assert.Equal("no such name", await LookUpAsync("db.test"));
        Assert.Empty(_cache.Names.Single(n => n.Name == "db.test").Addresses);
    }

    [Fact]
    public async Task Expired_names_are_looked_up_again_while_they_are_wanted()
    {
        _resolver.Answer = _ => Task.FromResult("10.0.0.1");
        await LookUpAsync("a.test");
        await LookUpAsync("b.test");
        _cache.Refresh(_ => true);
        _clock.Now += 16_000_000;
        _cache.Refresh(name => name == "b.test");

        await Eventually.TrueAsync(() => TimeToLive("b.test") > 0, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(["a.test", "b.test", "b.test"], _resolver.Asked);
    }

    [Fact]
    public async Task Names_of_a_zone_are_looked_up_again_when_its_serial_grows_also_past_the_end()
    {
        _resolver.Answer = _ => Task.FromResult("10.0.0.1");
        foreach (var name in new[] { "a.x.test", "b.x.test", "c.y.test", "plain" }) await LookUpAsync(name);
        Assert.Equal(["x.test 0 2", "y.test 0 1"], Zones());
        async Task<string> CheckAsync(uint serial)
        {
            _resolver.Serial = zone => zone == "x.test" ? serial : null;
            _resolver.Asked.Clear();
            var changed = await _cache.CheckZonesAsync();
            await Eventually.TrueAsync(() => _cache.ActiveQueries == 0, cancellationToken: TestContext.Current.CancellationToken);
            lock (_resolver.Asked) return string.Join(' ', changed.Select(c => $"{c.Old}>{c.New}").Concat(_resolver.Asked.Order()));
        }

        Assert.Equal("0>2000000000 a.x.test b.x.test", await CheckAsync(2_000_000_000));
        Assert.Equal("", await CheckAsync(2_000_000_000));
        Assert.Equal("", await CheckAsync(1_999_999_999));
        Assert.Equal("2000000000>4000000000 a.x.test b.x.test", await CheckAsync(4_000_000_000));
        Assert.Equal("4000000000>5 a.x.test b.x.test", await CheckAsync(5));
        Assert.Equal(["x.test 5 2", "y.test 0 1"], Zones());
    }

    [Fact]
    public async Task A_resolver_that_throws_anything_leaves_nobody_waiting()
    {
        _resolver.Answer = _ => throw new InvalidOperationException("broken");

        Assert.Equal("broken", await LookUpAsync("db.test"));
    }

    private async Task<string> LookUpAsync(string name)
    {
        var (addresses, error) = await _cache.LookUpAsync(name);
        return error ?? string.Join(',', addresses);
    }

    private long TimeToLive(string name) => _cache.Names.Single(n => n.Name == name).TimeToLive;

    private IEnumerable<string> Zones() => _cache.Zones.Select(z => $"{z.Name} {z.Serial} {z.Count}");
}

/// <summary>Answers are addresses separated by blanks; after ! why there are none, after ? why nobody knows.</summary>
internal sealed class FakeResolver : INameResolver
{
    public Func<string, Task<string>> Answer { get; set; } = _ => Task.FromResult("!no such name");

    public Func<string, uint?> Serial { get; set; } = _ => null;

    public List<string> Asked { get; } = [];

    public async Task<IReadOnlyList<IPAddress>> ResolveAsync(string name)
    {
        lock (Asked) Asked.Add(name);
        var answer = await Answer(name);
        if (answer[0] is '!' or '?') throw new NameLookupException(answer[1..], isTemporary: answer[0] == '?');
        return [.. answer.Split(' ').Select(IPAddress.Parse)];
    }

    public Task<uint?> ReadSerialAsync(string zone) => Task.FromResult(Serial(zone));
}
