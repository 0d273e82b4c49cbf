using Pooler.Engine.Auth;
using Pooler.Engine.Configuration;
using Pooler.Engine.Hosts;

namespace Pooler.Engine.Pools;

/// <summary>A database as it runs: its settings of the moment, its flags and what is counted per database.</summary>
public sealed class PoolDatabase(DatabaseSettings settings, bool isAuto)
{
    private volatile DatabaseSettings _settings = settings;
    private volatile bool _paused;
    private volatile bool _killed;
    private volatile bool _heldWithAll;
    private volatile bool _disabled;
    private volatile bool _removed;
    private volatile bool _provisional;
    private readonly Lock _hostsLock = new();
    private volatile DatabaseHosts? _hosts;

    /// <summary>The name clients ask for.</summary>
    public string Name { get; } = settings.Name;

    /// <summary>Replaced by a reload.</summary>
    public DatabaseSettings Settings
    {
        get => _settings;
        internal set
        {
            lock (_hostsLock)
            {
                var old = _settings;
                _settings = value;
                if ((old.Host, old.Port, old.PortList, old.LoadBalanceHosts) != (value.Host, value.Port, value.PortList, value.LoadBalanceHosts)) _hosts = null;
            }
        }
    }

    /// <summary>Made from the <c>*</c> entry; forgotten when unused for autodb_idle_timeout.</summary>
    public bool IsAuto { get; internal set; } = isAuto;

    /// <summary>No server is given out: paused by its own name (PAUSE, KILL).</summary>
    public bool Paused
    {
        get => _paused;
        internal set
        {
            _paused = value;
            if (!value) _killed = false;
        }
    }

    /// <summary>The pause is that of KILL.</summary>
    public bool IsKilled
    {
        get => _killed;
        internal set => _killed = value;
    }

    /// <summary>No server is given out of any database (PAUSE without a name).</summary>
    public bool HeldWithAll
    {
        get => _heldWithAll;
        internal set => _heldWithAll = value;
    }

    /// <summary>No server is given out, for either reason.</summary>
    public bool IsHeld => _paused || _heldWithAll;

    /// <summary>New clients are refused (DISABLE).</summary>
    public bool Disabled
    {
        get => _disabled;
        internal set => _disabled = value;
    }

    /// <summary>Gone from the configuration, and never to come back: an entry of the same name is another database.</summary>
    public bool Removed
    {
        get => _removed;
        internal set => _removed = value;
    }

    /// <summary>Known only because a question about a login is asked there: nobody has been let in yet.</summary>
    public bool IsProvisional
    {
        get => _provisional;
        internal set => _provisional = value;
    }

    /// <summary>Server connections over all its pools, open or opening; guarded by <see cref="ConnectionBudget"/>.</summary>
    public int ServerCount { get; internal set; }

    /// <summary>Clients logged in; guarded by <see cref="ConnectionBudget"/>.</summary>
    public int ClientCount { get; internal set; }

    /// <summary>When the last client or server left, in loop microseconds.</summary>
    public long UnusedSince { get; internal set; }

    /// <summary>
    /// Whether SHOW DATABASES and LISTS have it. As in PgBouncer, one made from <c>*</c> is there only while it is used; or
    /// while somebody has paused or disabled it, which must not be out of sight.
    /// </summary>
    public bool IsListed => !IsAuto || _paused || _disabled || ClientCount > 0 || ServerCount > 0;

    /// <summary>Where its servers are; null before the first has been looked for.</summary>
    internal DatabaseHosts? KnownHosts => _hosts;

    /// <summary>Where its servers are. What is known of them lasts until a reload changes the hosts.</summary>
    internal DatabaseHosts HostsOf(string unixSocketDirectory)
    {
        if (_hosts is { } hosts) return hosts;
        lock (_hostsLock) return _hosts ??= new DatabaseHosts(_settings, unixSocketDirectory);
    }

    /// <summary>The name on the server.</summary>
    public string ServerDatabaseName => Settings.DbName ?? Name;
}

/// <summary>A user as it runs: its settings of the moment and what is counted per user.</summary>
public sealed class PoolUser
{
    private volatile UserSettings _settings;
    private volatile Secret? _secret;
    private volatile ScramKeys? _learnedKeys;

    /// <summary>A user with the given settings.</summary>
    public PoolUser(UserSettings settings)
    {
        Name = settings.Name;
        _settings = settings;
        _secret = Secret.Parse(settings.Secret);
    }

    /// <summary>The user's name.</summary>
    public string Name { get; }

    /// <summary>Replaced by a reload.</summary>
    public UserSettings Settings
    {
        get => _settings;
        internal set
        {
            if (value.Secret != _settings.Secret)
            {
                _secret = Secret.Parse(value.Secret);
                _learnedKeys = null;
            }
            _settings = value;
        }
    }

    /// <summary>What clients must show that they know; null when the user cannot log in with a password.</summary>
    public Secret? Secret => _secret;

    /// <summary>Server connections over all databases, open or opening; guarded by <see cref="ConnectionBudget"/>.</summary>
    public int ServerCount { get; internal set; }

    /// <summary>Clients logged in; guarded by <see cref="ConnectionBudget"/>.</summary>
    public int ClientCount { get; internal set; }

    /// <summary>
    /// Keeps what a client's login revealed. With the keys of a SCRAM login, servers that store the same secret can be
    /// logged in to, although the password is known to nobody here.
    /// </summary>
    internal void Learn(ClientAuthentication login)
    {
        if (login.ScramKeys is { } keys) _learnedKeys = keys;
    }

    /// <summary>Keys that another process has learnt.</summary>
    internal void RestoreKeys(ScramKeys keys) => _learnedKeys ??= keys;

    /// <summary>What to log in to servers with.</summary>
    internal ServerCredentials Credentials => new(Name, _secret, _learnedKeys);
}
