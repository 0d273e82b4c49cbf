using System.Net;
using Pooler.Engine.Configuration;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Sessions.Cancelling;

/// <summary>
/// Another process of the group: cancel requests with its peer_id are passed on to it, in the clear, as a client would
/// send them.
/// </summary>
internal sealed class Peer(EngineCore engine, PeerSettings settings)
{
    private readonly Lock _lock = new();
    private volatile PeerSettings _settings = settings;
    private volatile CancelQueue? _queue;

    /// <summary>Replaced by a reload.</summary>
    public PeerSettings Settings
    {
        get => _settings;
        set => _settings = value;
    }

    /// <summary>Connections to it at once.</summary>
    public int PoolSize => _settings.PoolSize ?? engine.Settings.DefaultPoolSize;

    /// <summary>Whether a request has been for it since the start: only then has it a row in SHOW PEER_POOLS.</summary>
    public bool HasPool => _queue is not null;

    /// <summary>A moment's deliveries to it.</summary>
    public CancelDelivery[] Deliveries => _queue?.Deliveries ?? [];

    public CancelQueue OpenQueue()
    {
        lock (_lock) return _queue ??= new CancelQueue(() => PoolSize);
    }

    /// <summary>Where it is now. Of several addresses each has its turn.</summary>
    /// <exception cref="IOException">The name has no address.</exception>
    public async ValueTask<EndPoint> LocateAsync()
    {
        var peer = _settings;
        var host = peer.Host!;
        if (UnixAddress.IsUnix(host)) return UnixAddress.Of(host, peer.Port);
        if (IPAddress.TryParse(host, out var address)) return new IPEndPoint(address, peer.Port);
        var (addresses, error) = await engine.Hosts.LookUpAsync(host).ConfigureAwait(false);
        return addresses.Count > 0 ? new IPEndPoint(addresses[0], peer.Port) : throw new IOException(error ?? $"{host} has no address");
    }

    /// <summary>It is gone from the configuration.</summary>
    public void Remove()
    {
        foreach (var delivery in Deliveries)
            delivery.Loop.Post(static state => ((CancelDelivery)state!).Withdraw("peer removed"), delivery);
    }
}
