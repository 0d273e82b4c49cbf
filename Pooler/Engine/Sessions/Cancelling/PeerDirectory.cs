using System.Collections.Concurrent;
using Pooler.Engine.Configuration;

namespace Pooler.Engine.Sessions.Cancelling;

/// <summary>The entries of <c>[peers]</c>. Any thread.</summary>
internal sealed class PeerDirectory(EngineCore engine)
{
    private readonly ConcurrentDictionary<int, Peer> _peers = new();

    /// <summary>By id.</summary>
    public IEnumerable<Peer> All => _peers.Values.OrderBy(p => p.Settings.Id);

    public int Count => _peers.Count;

    public Peer? Find(int id) => _peers.GetValueOrDefault(id);

    /// <summary>Makes the entries of a configuration the current ones.</summary>
    public void Apply(IReadOnlyDictionary<int, PeerSettings> entries)
    {
        foreach (var (id, settings) in entries)
            _peers.GetOrAdd(id, static (_, its) => new Peer(its.engine, its.settings), (engine, settings)).Settings = settings;
        foreach (var (id, peer) in _peers)
            if (!entries.ContainsKey(id) && _peers.TryRemove(id, out _)) peer.Remove();
    }
}
