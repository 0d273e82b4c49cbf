using System.Net;
using Pooler.Engine.Loops;

namespace Pooler.Engine.Hosts;

/// <summary>
/// Finds out whether an address that was down can be connected to again, so that no client has to wait for the attempt.
/// Whether the server there takes logins the next one will tell.
/// </summary>
internal sealed class AddressProbe : IConnectionHandler
{
    private readonly Action<string?> _onEnded;
    private Connection? _connection;
    private LoopTimer? _timer;
    private bool _ended;

    private AddressProbe(Action<string?> onEnded) => _onEnded = onEnded;

    /// <summary>Begins, on the loop's thread.</summary>
    /// <param name="loop">The loop.</param>
    /// <param name="endPoint">Where to.</param>
    /// <param name="options">Of its socket.</param>
    /// <param name="limit">How long to try; zero is for ever.</param>
    /// <param name="onEnded">Told null when connected, else why not.</param>
    public static void Start(EventLoop loop, EndPoint endPoint, SocketOptions options, TimeSpan limit, Action<string?> onEnded)
    {
        var probe = new AddressProbe(onEnded);
        probe._connection = loop.Connect(endPoint, options, probe);
        if (limit > TimeSpan.Zero)
            probe._timer = loop.Schedule(limit.Ticks / TimeSpan.TicksPerMicrosecond, static state => ((AddressProbe)state!).End("connect timeout"), probe);
    }

    public void OnConnected(Connection connection) => End(null);

    public ReadAnswer OnReadable(Connection connection, Readiness readiness) => ReadAnswer.Read;

    public int OnReceived(Connection connection, Span<byte> data) => data.Length;

    public void OnDrained(Connection connection)
    {
    }

    public void OnMoved(Connection connection)
    {
    }

    public void OnClosed(Connection connection, Exception? error) => End(error?.Message ?? "closed");

    private void End(string? error)
    {
        if (_ended) return;
        _ended = true;
        _timer?.Cancel();
        _connection!.Close();
        _onEnded(error);
    }
}
