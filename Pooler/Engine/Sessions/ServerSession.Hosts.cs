using System.Net;
using System.Text;
using Pooler.Engine.Configuration;
using Pooler.Engine.Hosts;
using Pooler.Engine.Loops;
using Pooler.Engine.Protocol;
using Pooler.Engine.Telemetry.Metrics;

namespace Pooler.Engine.Sessions;

/// <summary>
/// Where it connects to: the hosts of its database one after the other, until one lets it in and is what
/// target_session_attrs asks for. Each attempt has a connection of its own.
/// </summary>
internal sealed partial class ServerSession
{
    /// <summary>
    /// With other hosts to go to, one that is silent for so long gives way: twice the kernel has sent its SYN again then
    /// (after 1 and 3 seconds). A server that is there answers within the time of a round trip.
    /// </summary>
    private static readonly TimeSpan SilenceLimit = TimeSpan.FromSeconds(4);

    private EventLoop? _loginLoop;
    private HostWalk? _walk;
    private DatabaseHosts? _hosts;
    private LoopTimer? _loginTimer;
    private SessionAttributes _attributes;
    private bool _questionSent;
    private bool _serverRefused;
    private bool _isSilent;

    /// <summary>The place it connects to, is connected to or failed to connect to last; null before the first.</summary>
    public HostAddress? Address { get; private set; }

    /// <summary>Where it connects to; null while a name is looked up.</summary>
    public EndPoint? Target => Address?.EndPoint;

    protected internal override void BeginLogin(EventLoop loop)
    {
        _loginLoop = loop;
        _walk = _engine.Hosts.BeginWalk(Pool.Database, OnLookupFailed);
        _hosts = _walk.Hosts;
        TryNextHost();
    }

    private void TryNextHost()
    {
        var next = _walk!.NextAsync();
        if (next.IsCompletedSuccessfully) TryHost(next.Result);
        else _ = TryHostAsync(next);
    }

    private async Task TryHostAsync(ValueTask<HostAddress?> next) => TryHost(await next.ConfigureAwait(false));

    private void TryHost(HostAddress? address)
    {
        if (address is null)
        {
            // Posted, also on the loop itself: the pool is in the middle of growing.
            _loginLoop!.Post(static state => ((ServerSession)state!).GiveUp(), this);
            return;
        }
        Address = address;
        _engine.RunOn(_loginLoop!, static state => ((ServerSession)state!).Connect(), this);
    }

    /// <summary>Begins an attempt, on the loop.</summary>
    private void Connect()
    {
        if (_finished) return;
        _reportedAtLogin.Clear();
        _authentication = null;
        _attributes = default;
        _questionSent = _connectQuerySent = _serverRefused = _isLetIn = false;
        _reportedBytes = 0;
        ForgetEncryption();
        Connection = _loginLoop!.Connect(Target!, _engine.SocketOptions, this);
        var limit = _engine.Settings.ServerConnectTimeout;
        _isSilent = _hosts!.HasChoice && (limit <= TimeSpan.Zero || limit > SilenceLimit);
        LimitLogin(_isSilent ? SilenceLimit : limit);
    }

    /// <summary>The other end has answered: from now on it has all the time of server_connect_timeout.</summary>
    private void NoteAnswer()
    {
        if (!_isSilent) return;
        _isSilent = false;
        _loginTimer!.Cancel();
        LimitLogin(_engine.Settings.ServerConnectTimeout);
    }

    private void LimitLogin(TimeSpan limit)
    {
        if (limit > TimeSpan.Zero)
            _loginTimer = _loginLoop!.Schedule(limit.Ticks / TimeSpan.TicksPerMicrosecond, OnLoginTimeout, this);
    }

    private static void OnLoginTimeout(object? state)
    {
        var server = (ServerSession)state!;
        var limit = server._isSilent ? $"{SilenceLimit.TotalSeconds} seconds" : "server_connect_timeout";
        server.FailLogin(PgError.Fatal(SqlState.ConnectionFailure, $"connect timeout: no login to server {server.Target} within {limit}") with { LoggedAs = "connect timeout" });
    }

    /// <summary>
    /// The attempt is over: the next host has its turn. Whoever calls must touch nothing of the connection afterwards.
    /// </summary>
    private void FailLogin(PgError error)
    {
        if (_finished) return;
        _walk!.NoteFailure(Address!, error);
        var news = _engine.Hosts.OnLoginFailed(_hosts!, Address!, error);
        // Alone, it is told when the whole login has failed.
        if (news && _hosts!.HasChoice)
        {
            _engine.OnServerLoginFailed(this, error);
            _engine.OnServerEnded(this, error.LoggedAs ?? error.Message);
        }
        EndAttempt();
        TryNextHost();
    }

    private void OnLookupFailed(HostAddress lookup, PgError error)
    {
        Address = lookup;
        if (!_hosts!.HasChoice) return;
        _engine.OnServerLoginFailed(this, error);
        _engine.OnServerEnded(this, "server DNS lookup failed");
    }

    private void EndAttempt()
    {
        _loginTimer?.Cancel();
        if (Connection is { IsClosed: false } connection) connection.Close();
        Connection = null;
        _authentication = null;
    }

    private void GiveUp()
    {
        if (_finished) return;
        var error = _walk!.Failure;
        Pool.Events.ConnectFailures.Add(ConnectFailures.Of(error));
        _engine.OnServerLoginFailed(this, error);
        // What the server has against a replication connection is its client's affair.
        if (OwnStartup is not null && _serverRefused)
        {
            error = error with { Message = "login failed", Detail = $"The server said: {error.Message}" };
            Finish(error.Message, error);
            return;
        }
        Finish(_walk.FailureReason, error);
    }

    /// <summary>
    /// Logged in, and asked for nothing yet: looks whether the server is what is wanted. False when it is not, or has been
    /// asked and <see cref="OnAnswer"/> is to come.
    /// </summary>
    private bool IsFit()
    {
        var wanted = _walk!.Wanted;
        foreach (var (name, value) in _reportedAtLogin) _attributes.Note(name, value);
        // Physical replication takes no SQL.
        var askable = OwnStartup is not { Replication: ReplicationMode.Physical };
        if (askable && !_questionSent && _attributes.Question(wanted) is { } question)
        {
            _questionSent = true;
            var writer = Context.ToServer;
            writer.Clear();
            writer.Query(question);
            Connection!.Send(writer.Written);
            writer.Clear();
            return false;
        }
        _questionSent = false;
        if (_attributes.Objection(wanted) is not { } objection)
        {
            _engine.Hosts.OnLoggedIn(_hosts!, Address!, _attributes.Role);
            return true;
        }
        var news = _engine.Hosts.OnUnfit(Pool.Database, _hosts!, Address!, _attributes.Role, objection);
        if (news) _engine.Log.HostUnfit(Pool.Database.Name, Address!.ToString(), objection);
        _walk.NoteFailure(Address!, PgError.Fatal(SqlState.ConnectionFailure, objection));
        _walk.PassOver(Address!);
        ReadOnlySpan<byte> terminate = [Frontend.Terminate, 0, 0, 0, 4];
        Connection!.Send(terminate);
        EndAttempt();
        TryNextHost();
        return false;
    }

    /// <summary>A row of the answer to the question of what the server is: one column, a boolean in one of two spellings.</summary>
    private void OnAnswer(ReadOnlySpan<byte> row)
    {
        var reader = new MessageReader(row);
        if (!reader.TryReadInt16(out var columns) || columns != 1 || !reader.TryReadInt32(out var length) || length != reader.Rest.Length) return;
        _attributes.NoteAnswer(_walk!.Wanted, Encoding.ASCII.GetString(reader.Rest) is "on" or "t");
    }

    /// <summary>A parameter came while in use: a promotion tells itself by in_hot_standby.</summary>
    private void NoteRole(string parameter, string value)
    {
        if (parameter != "in_hot_standby" || Address is null) return;
        _engine.Hosts.OnRoleReported(Pool.Database, _hosts!, Address, value == "on" ? ServerRole.Standby : ServerRole.Primary);
    }

    /// <summary>
    /// A write was refused as read-only. Perhaps it was the client's own wish; perhaps the server is not any more what it
    /// was: then the login of the one that takes its place finds out.
    /// </summary>
    private void NoteReadOnly(string sqlState)
    {
        if (sqlState == SqlState.ReadOnlyTransaction
            && _engine.Hosts.WantedOf(Pool.Database) is TargetSessionAttrs.ReadWrite or TargetSessionAttrs.Primary) CloseNeeded = true;
    }
}
