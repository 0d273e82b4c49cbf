using System.Text;
using Pooler.Engine.Configuration;
using Pooler.Engine.Protocol;
using Testing;
using Xunit;

namespace Pooler.IntegrationTests.Refusals;

/// <summary>Too much of everything: it takes neither the memory nor the loop from the others.</summary>
public sealed class FloodTests(PostgresForPooler postgres) : RefusalTest(postgres)
{
    /// <summary>Of the garbage collector's heap, after it has collected; generous.</summary>
    private const long MemoryBound = 48 << 20;

    [Theory, MemberData(nameof(Backends))]
    public async Task Messages_that_are_announced_and_do_not_come_take_no_memory(Variant variant)
    {
        await using var pooler = Start(variant);
        using var bystander = await BystanderAsync(pooler);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var clients = new List<RawClient>();
        for (var i = 0; i < 40; i++)
        {
            // As long as may be, gathered whole and passed on.
            foreach (var (type, length) in new[] { ('P', 60 << 20), ('P', 0x7fff_0000), ('Q', 0x7fff_0000) })
            {
                var client = await pooler.LoginAsync("postgres");
                await client.SendAsync(HostileConnection.Announcing(type, length, Encoding.ASCII.GetBytes(type == 'P' && length < 0x7000_0000 ? "named\0SELECT 1" : "\0SELECT 1")));
                clients.Add(client);
            }
            // And before the login there is nothing that may be so long.
            var stranger = await RawClient.ConnectAsync(pooler.EndPoint);
            await stranger.SendAsync([0x40, 0, 0, 0, 0, 3, 0, 0]);
            await RefusalAsync(stranger);
            clients.Add(stranger);
        }

        await bystander.AssertServedAsync();
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, MemoryBound);
        foreach (var client in clients) client.Dispose();
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Connections_that_say_nothing_or_half_of_it_take_little_and_end(Variant variant)
    {
        await using var pooler = Start(variant, change: s => s with { ClientLoginTimeout = TimeSpan.FromSeconds(3) });
        using var bystander = await BystanderAsync(pooler);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var half = Garbage.Startup(0x0003_0000, new string('a', 9_000))[..8_000];
        var clients = new List<RawClient>();
        for (var i = 0; i < 300; i++)
        {
            var client = await RawClient.ConnectAsync(pooler.EndPoint);
            if (i % 3 > 0) await client.SendAsync(i % 3 == 1 ? half : RawClient.SslRequest);
            clients.Add(client);
        }

        await bystander.AssertServedAsync();
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, MemoryBound);
        foreach (var client in clients) await DrainAsync(client);
        await bystander.AssertServedAsync();
        foreach (var client in clients) client.Dispose();
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Prepared_statements_of_one_client_have_a_bound(Variant variant)
    {
        var database = await NewDatabaseAsync();
        await using var pooler = Start(variant, change: s => s with { MaxClientPreparedBytes = 20_000 });
        using var bystander = await BystanderAsync(pooler);
        var text = $"SELECT '{new string('x', 1_000)}'";
        using var thrifty = await pooler.LoginAsync(database);
        for (var i = 0; i < 100; i++)
        {
            // What is closed counts no more, nor does what failed, nor what has no name.
            Assert.Equal("1 3 Z(I)", await thrifty.Parse($"s{i}", text).Close($"s{i}").Sync().AskAsync());
            Assert.Equal("E(42601) Z(I)", await thrifty.Parse($"f{i}", $"nonsense {text}").Sync().AskAsync());
            Assert.Equal("1 Z(I)", await thrifty.Parse("", $"{text}, '{new string('y', 30_000)}'").Sync().AskAsync());
        }
        Assert.Equal(string.Concat(Enumerable.Repeat("1 ", 15)) + "Z(I)", await PrepareAsync(thrifty, 15));
        Assert.Equal("C(DISCARD ALL) Z(I)", await thrifty.Query("DISCARD ALL").AskAsync());
        Assert.Equal(string.Concat(Enumerable.Repeat("1 ", 15)) + "Z(I)", await PrepareAsync(thrifty, 15));

        foreach (var attempt in new[] { 1_000, 100_000_000 })
        {
            using var greedy = await pooler.LoginAsync(database);
            if (attempt == 1_000) for (var i = 0; i < 30; i++) greedy.Parse($"s{i}", text);
            else greedy.Bytes(HostileConnection.Announcing('P', attempt, [.. "named\0SELECT 1"u8]));
            await greedy.SendAsync();
            var error = await RefusalAsync(greedy);
            Assert.Equal("54000", error.Field('C'));
            Assert.Contains("max_client_prepared_bytes is 20000", error.Field('H'));
        }
        await bystander.AssertServedAsync();

        async Task<string> PrepareAsync(RawClient client, int count)
        {
            for (var i = 0; i < count; i++) client.Parse($"p{i}", text);
            return await client.Sync().AskAsync();
        }
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Requests_behind_an_error_that_are_never_synced_have_a_bound(Variant variant)
    {
        await using var pooler = Start(variant, change: s => s with { DefaultPoolSize = 1 });
        using var bystander = await BystanderAsync(pooler);
        using var client = await pooler.LoginAsync(bystander.Database);
        // PostgreSQL answers nothing until Sync, so nothing slows it down.
        await client.Parse("", "nonsense").Flush().SendAsync();
        await client.ReadToAsync('E');
        var piece = Enumerable.Repeat(HostileConnection.Message('C', [(byte)'S', 0]), 10_000).SelectMany(m => m).ToArray();
        var sending = Task.Run(async () =>
        {
            for (var i = 0; i < 200; i++) await client.SendAsync(piece);
        }, Cancelled);

        Assert.Equal("54000", (await RefusalAsync(client)).Field('C'));
        client.Dispose();
        await Task.WhenAny(sending);
        await bystander.AssertServedAsync();
    }

    [Theory, MemberData(nameof(ManyLoops))]
    public async Task Floods_of_cancel_requests_cancel_nothing_and_hold_nobody_up(Variant variant)
    {
        using var log = new RecordingLog();
        await using var pooler = Start(variant, log: log);
        using var bystander = await BystanderAsync(pooler);
        using var working = await pooler.LoginAsync(bystander.Database);
        using var stop = new CancellationTokenSource();
        await working.Query("BEGIN; SELECT pg_sleep(600)").SendAsync();
        await Eventually.TrueAsync(async () => await BackendsOfAsync(bystander.Database, "wait_event = 'PgSleep'") == 1, cancellationToken: Cancelled);
        var (processId, key) = working.Cancellation;
        var asking = bystander.AskUntilAsync(stop.Token);
        var random = new Random(20261122);

        var requests = Enumerable.Range(0, 400).Select(i =>
        {
            var guess = key.ToArray();
            guess[i % guess.Length] ^= (byte)(1 << random.Next(8));
            return (i % 4) switch
            {
                0 => HostileConnection.Written(w => w.CancelRequest(processId, guess)),
                1 => HostileConnection.Written(w => w.CancelRequest(processId ^ (1 << (i % 31)), key)),
                2 => HostileConnection.Written(w => w.CancelRequest(processId, [.. key, .. new byte[random.Next(1, 200)]])),
                _ => Garbage.Mutilated(random, HostileConnection.Written(w => w.CancelRequest(0, guess))),
            };
        }).ToArray();
        await Parallel.ForEachAsync(requests, new ParallelOptions { MaxDegreeOfParallelism = 40, CancellationToken = Cancelled }, async (request, _) =>
        {
            using var requester = await RawClient.ConnectAsync(pooler.EndPoint);
            await requester.SendAsync(request);
            requester.HalfClose();
            await DrainAsync(requester);
        });

        Assert.Equal(1, await BackendsOfAsync(bystander.Database, "wait_event = 'PgSleep'"));
        await stop.CancelAsync();
        await asking;
        // With the right key it works as ever.
        await working.CancelAsync(pooler.EndPoint);
        Assert.Equal("57014", Assert.Single(await working.ReadToReadyAsync(), m => m.Type == 'E').Field('C'));
        AssertNothingBroke(log);
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task Cancel_requests_that_go_in_circles_among_peers_end_however_many_there_are(Variant variant)
    {
        using var log = new RecordingLog();
        await using var first = Start(variant, change: s => s with { PeerId = 1, CancelWaitTimeout = TimeSpan.FromSeconds(1) }, log: log);
        await using var second = Start(variant, change: s => s with { PeerId = 2, CancelWaitTimeout = TimeSpan.FromSeconds(1) }, log: log);
        first.Reload(c => c with { Peers = new Dictionary<int, PeerSettings> { [9] = new() { Id = 9, Host = "127.0.0.1", Port = second.EndPoint.Port } } });
        second.Reload(c => c with { Peers = new Dictionary<int, PeerSettings> { [9] = new() { Id = 9, Host = "127.0.0.1", Port = first.EndPoint.Port } } });
        using var bystander = await BystanderAsync(first);

        async Task RequestAsync(int i)
        {
            using var requester = await RawClient.ConnectAsync(first.EndPoint);
            await requester.SendAsync([0, 0, 0, 16, 4, 210, 22, 46, 0, 9, 0, 1, 1, 2, (byte)i, 7]);
            Assert.Empty(await requester.ReadToEndAsync());
        }
        int Forwarded() => log.Lines.Count(l => l.Contains("successfully sent cancel request"));

        // Alone it goes as far as it may; many wait for each other, give up in time, and none goes round for ever.
        await RequestAsync(100);
        await Eventually.TrueAsync(() => Forwarded() > 0, cancellationToken: Cancelled);
        await Parallel.ForEachAsync(
            Enumerable.Range(0, 100), new ParallelOptions { MaxDegreeOfParallelism = 20, CancellationToken = Cancelled }, async (i, _) => await RequestAsync(i));

        Assert.InRange(Forwarded(), 1, 303);
        await bystander.AssertServedAsync();
        AssertNothingBroke(log);
    }
}
