using Pooler.Engine.Pools;
using Pooler.Engine.Telemetry;

namespace Pooler.Engine.Advice;

/// <summary>One pool as the rules see it: its state of the moment, its last minutes, and what limits it. Immutable.</summary>
internal sealed class PoolView
{
    // Half a minute: long enough that a burst is not taken for a habit, short enough that help comes while it hurts.
    private const int Window = 6;

    /// <summary>Of these many of the last intervals something must have been the case before it is spoken of.</summary>
    private const int EnoughOfWindow = 3;

    // Below this nobody notices a wait.
    private const long NoticeableWait = 10_000;

    /// <summary>How long an interval of the history is.</summary>
    public required TimeSpan Period { get; init; }

    /// <summary>The pool at this moment.</summary>
    public required PoolSnapshot State { get; init; }

    /// <summary>Its last minutes, oldest first.</summary>
    public IReadOnlyList<PoolInterval> Intervals { get; init; } = [];

    /// <summary>The clients that hold its servers now.</summary>
    public IReadOnlyList<HeldServer> Held { get; init; } = [];

    /// <summary>Its size, and where that is set.</summary>
    public required SettingView Size { get; init; }

    /// <summary>The setting that its mode comes from.</summary>
    public string PoolMode { get; init; } = "pool_mode";

    /// <summary>The limit that spans pools and has been reached, so that this pool cannot grow to its size; else null.</summary>
    public SettingView? ReachedLimit { get; init; }

    /// <summary>What happened to it beside its traffic.</summary>
    public PoolEventsView Events { get; init; } = new();

    /// <summary>Its clients by application, those with most connections first.</summary>
    public IReadOnlyList<ApplicationView> Applications { get; init; } = [];

    /// <summary>What limits the wait for a server (query_wait_timeout).</summary>
    public SettingView QueryWaitTimeout { get; init; } = new("query_wait_timeout", 120);

    /// <summary>Servers that are kept open (min_pool_size).</summary>
    public SettingView MinSize { get; init; } = new("min_pool_size", 0);

    /// <summary>After how long servers are replaced (server_lifetime).</summary>
    public SettingView ServerLifetime { get; init; } = new("server_lifetime", 3600);

    /// <summary>What is known of the server behind it.</summary>
    public ServerView Server { get; init; } = new();

    /// <summary>Why its servers could not log in of late; null when they could.</summary>
    public LoginTrouble? Trouble { get; init; }

    /// <summary>What limits a transaction's idle time here (idle_transaction_timeout).</summary>
    public SettingView IdleTransactionTimeout { get; init; } = new("idle_transaction_timeout", 0);

    /// <summary>What limits a query here (query_timeout).</summary>
    public SettingView QueryTimeout { get; init; } = new("query_timeout", 0);

    /// <summary>What limits a transaction here (transaction_timeout).</summary>
    public SettingView TransactionTimeout { get; init; } = new("transaction_timeout", 0);

    /// <summary>Servers it can have now, its reserve aside: its size, or what a limit that spans pools leaves it.</summary>
    public int Capacity => ReachedLimit is not null ? Math.Min(SizeOrUnlimited, Math.Max(1, State.Servers)) : SizeOrUnlimited;

    private int SizeOrUnlimited => State.Size > 0 ? State.Size : int.MaxValue;

    /// <summary>The intervals that are looked at for what goes on now.</summary>
    public IReadOnlyList<PoolInterval> Recent => field ??= Last(Window);

    /// <summary>What was counted in <see cref="Recent"/>.</summary>
    public Figures Now => field ??= Figures.Of(Recent);

    /// <summary>
    /// Clients wait so much that they notice, in most of the last half minute and to its end, and all servers are in use.
    /// </summary>
    public bool IsPressed => _isPressed ??= Recent.Count(IsPressedIn) >= EnoughOfWindow && (State.ClientsWaiting > 0 || IsPressedIn(Recent[^1]));

    private bool? _isPressed;

    /// <summary>A client has waited for a whole interval, while all servers are in use.</summary>
    public bool IsStuck => State.ClientsWaiting > 0 && State.ServersIdle + State.ServersUsed == 0 && State.Servers >= Capacity
        && State.MaxWait >= Period.TotalMicroseconds;

    /// <summary>The last intervals, up to a number of them.</summary>
    public IReadOnlyList<PoolInterval> Last(int count) => Intervals.Count <= count ? Intervals : [.. Intervals.Skip(Intervals.Count - count)];

    /// <summary>Whether something is so in enough of the last half minute, and to its end.</summary>
    public bool MostlyRecently(Func<PoolInterval, bool> what) => Recent.Count(what) >= EnoughOfWindow && what(Recent[^1]);

    private bool IsPressedIn(PoolInterval interval)
    {
        var state = interval.State;
        // A second, with intervals of five.
        var isLong = state.MaxWait >= Period.TotalMicroseconds / 5;
        var isMuch = interval.Counted.WaitTime * 4 >= interval.Counted.TransactionTime && interval.Waits.Percentile(0.95) >= NoticeableWait;
        return (isLong || isMuch) && IsFull(interval);
    }

    private bool IsFull(PoolInterval interval)
    {
        if (Capacity == int.MaxValue) return false;
        var state = interval.State;
        if (state.ClientsWaiting > 0 && state.ServersIdle + state.ServersUsed == 0 && state.ServersActive >= Capacity * 0.7) return true;
        // Between two looks servers come and go; the time that transactions took does not.
        return interval.Counted.TransactionTime >= 0.7 * Capacity * interval.Length.TotalMicroseconds;
    }
}

/// <summary>What was counted over some intervals. Times are in microseconds.</summary>
/// <param name="Time">How long they were together.</param>
/// <param name="Counted">The counters.</param>
/// <param name="Waits">How long clients waited for a server.</param>
/// <param name="Queries">How long queries took.</param>
/// <param name="Transactions">How long transactions took.</param>
/// <param name="Active">Servers in use, on average over the ends of the intervals.</param>
/// <param name="Waiting">Clients that waited, on average over the ends of the intervals.</param>
internal sealed record Figures(
    double Time, PoolTotals Counted, TimeDistribution Waits, TimeDistribution Queries, TimeDistribution Transactions,
    double Active, double Waiting)
{
    /// <summary>Adds intervals up.</summary>
    public static Figures Of(IReadOnlyList<PoolInterval> intervals)
    {
        var (counted, time) = (default(PoolTotals), 0.0);
        var (waits, queries, transactions) = (TimeDistribution.Empty, TimeDistribution.Empty, TimeDistribution.Empty);
        foreach (var interval in intervals)
        {
            counted += interval.Counted;
            time += interval.Length.TotalMicroseconds;
            waits += interval.Waits;
            queries += interval.Queries;
            transactions += interval.Transactions;
        }
        return new Figures(
            Math.Max(1, time), counted, waits, queries, transactions,
            intervals.Count == 0 ? 0 : intervals.Average(i => i.State.ServersActive + i.State.ServersBeingCanceled),
            intervals.Count == 0 ? 0 : intervals.Average(i => i.State.ClientsWaiting));
    }

    /// <summary>How often something happened, per second.</summary>
    public double PerSecond(long count) => count * 1e6 / Time;

    /// <summary>How long a transaction took on average; of those that ended.</summary>
    public double MeanTransaction => Counted.Transactions == 0 ? 0 : (double)Counted.TransactionTime / Counted.Transactions;

    /// <summary>How long a client waited for a server on average, those included that had not to.</summary>
    public double MeanWait => Counted.ServerAssignments == 0 ? 0 : (double)Counted.WaitTime / Counted.ServerAssignments;

    /// <summary>Servers that transactions kept busy, by Little's law: how many there were a second times how long they took.</summary>
    public double Busy => Counted.TransactionTime / Time;

    /// <summary>Clients that waited at any moment, by Little's law; or by counting, as waits that have not ended are not in it.</summary>
    public double Queue => Math.Max(Counted.WaitTime / Time, Waiting);
}

/// <summary>A setting as it stands for a pool.</summary>
/// <param name="Name">As an administrator would write it, with the entry it is in unless it is global.</param>
/// <param name="Value">Its value, seconds for times; 0 mostly means no limit.</param>
internal sealed record SettingView(string Name, double Value)
{
    /// <summary>The value as it is written in the ini file.</summary>
    public string Text => AdviceText.Number(Value);
}

/// <summary>What is known of a PostgreSQL server.</summary>
internal sealed record ServerView
{
    /// <summary>As people write it.</summary>
    public string Name { get; init; } = "";

    /// <summary>max_connections; null when it could not be asked.</summary>
    public int? MaxConnections { get; init; }

    /// <summary>Connections that all its clients together have, ours among them; null when it could not be asked.</summary>
    public int? Connections { get; init; }

    /// <summary>Connections that this pooler has there.</summary>
    public int Ours { get; init; }

    /// <summary>Its cores: what server_cores says, or this machine's when it runs here; else null.</summary>
    public int? Cores { get; init; }

    /// <summary>Servers that all pools together may open there, as far as they are known; null when nothing limits them.</summary>
    public int? Demand { get; init; }

    /// <summary>The databases of the configuration that lead there.</summary>
    public int Databases { get; init; } = 1;

    /// <summary>The max_db_connections of those databases of the configuration that have one of their own.</summary>
    public IReadOnlyList<SettingView> OwnLimits { get; init; } = [];
}

/// <summary>Why a pool's servers could not log in.</summary>
/// <param name="SqlState">The error's code.</param>
/// <param name="Message">The error.</param>
/// <param name="Age">How long ago that was.</param>
internal sealed record LoginTrouble(string SqlState, string Message, TimeSpan Age);

/// <summary>What happened to a pool beside its traffic.</summary>
internal sealed record PoolEventsView
{
    /// <summary>Clients that gave up after query_wait_timeout in the last minute (twelve intervals).</summary>
    public int WaitTimeouts { get; init; }

    /// <summary>Clients that were closed for client_idle_timeout in the last minute.</summary>
    public int IdleClientsClosed { get; init; }

    /// <summary>Servers that were closed for server_lifetime, per interval of the last minute.</summary>
    public IReadOnlyList<int> LifetimeEnds { get; init; } = [];

    /// <summary>Servers that were closed for server_idle_timeout in the last quarter of an hour.</summary>
    public int IdleEnds { get; init; }

    /// <summary>Servers that were opened in the last quarter of an hour.</summary>
    public int Opened { get; init; }
}

/// <summary>The connections of one application to a pool.</summary>
/// <param name="Name">application_name.</param>
/// <param name="Address">Where it is: an address, or that there are several.</param>
/// <param name="Connections">How many it has.</param>
/// <param name="MostWorking">How many of them had a server or waited for one, at most at any look of the last minute.</param>
internal sealed record ApplicationView(string Name, string Address, int Connections, int MostWorking)
{
    /// <summary>The same of the last quarter of an hour; null while it has not been seen for as long.</summary>
    public int? MostWorkingOfLong { get; init; }

    /// <summary>For people.</summary>
    public string Text => $"{(Name.Length > 0 ? Name : "an application without application_name")} ({Address})";
}

/// <summary>A limit of client connections.</summary>
/// <param name="Setting">The setting.</param>
/// <param name="Count">Clients that count for it.</param>
/// <param name="Database">The database it is of, or empty.</param>
/// <param name="User">The user it is of, or empty.</param>
internal sealed record ClientLimit(SettingView Setting, int Count, string Database, string User);
