using System.Diagnostics.Metrics;

namespace Pooler.Engine.Telemetry.Metrics;

/// <summary>
/// The meter: each metric of the table as an instrument. Nothing on the hot path knows of it. Counters and gauges are
/// observed when somebody collects. There is no histogram that could be observed so; those are fed once a second, beside
/// the loops, with what the pools' own buckets have counted meanwhile, and only while somebody listens.
/// </summary>
public sealed class PoolerMetrics : IDisposable
{
    private static readonly TimeSpan FeedPeriod = TimeSpan.FromSeconds(1);

    /// <summary>Observed one by one, all instruments of one collection are to come from one look at the engine.</summary>
    private static readonly TimeSpan ReadingLife = TimeSpan.FromMilliseconds(100);

    private readonly EngineCore _core;
    private readonly Meter _meter = new(PoolerTelemetry.Name);
    private readonly Lock _readingLock = new();
    private readonly Lock _feedLock = new();
    private readonly List<(Metric Metric, Histogram<double> Instrument)> _histograms = [];
    private Dictionary<(Metric, object), TimeDistribution> _fed = [];
    private MetricReading? _reading;
    private long _readAt;
    private ITimer? _timer;
    private bool _isFeeding = true;

    internal PoolerMetrics(EngineCore core)
    {
        _core = core;
        var advice = new InstrumentAdvice<double> { HistogramBucketBoundaries = MetricDefinition.Boundaries };
        foreach (var metric in MetricTable.All)
        {
            var definition = metric.Definition;
            if (definition.Name is null) continue;
            if (definition.Kind == MetricKind.Histogram)
                _histograms.Add((metric, _meter.CreateHistogram(definition.Name, definition.Unit, definition.Description, null, advice)));
            else if (definition.Unit == "s")
                Create(definition, () => Observe(metric, static v => v));
            else
                Create(definition, () => Observe(metric, static v => (long)v));
        }
    }

    /// <summary>What there is to know, in the order of the documentation.</summary>
    public static IReadOnlyList<MetricDefinition> Definitions { get; } = [.. MetricTable.All.Select(m => m.Definition)];

    /// <summary>All metrics with their values of the moment. Any thread.</summary>
    public IReadOnlyList<MetricFamily> Read()
    {
        var reading = new MetricReading(_core);
        return [.. MetricTable.All.Select(m => new MetricFamily(m.Definition, [.. m.Read(reading)]))];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer?.Dispose();
        _meter.Dispose();
    }

    /// <summary>
    /// The engine has ended: what was counted in the last second is to be in the last export, which is still to come. Until
    /// <see cref="Dispose"/> the instruments can be observed.
    /// </summary>
    internal void Stop()
    {
        _timer?.Dispose();
        lock (_feedLock) Feed();
    }

    /// <summary>Begins to feed the histograms.</summary>
    internal void Start() => _timer = _core.TimeProvider.CreateTimer(static state => ((PoolerMetrics)state!).OnTick(), this, FeedPeriod, FeedPeriod);

    private void OnTick()
    {
        // A tick that finds the last one still at it leaves its part to the next.
        if (!_feedLock.TryEnter()) return;
        try
        {
            Feed();
        }
        finally
        {
            _feedLock.Exit();
        }
    }

    /// <summary>
    /// Tells the histograms' listeners what was counted since the last time, each at the middle of its bucket. Whoever comes
    /// late hears of what is counted from then on.
    /// </summary>
    private void Feed()
    {
        try
        {
            FeedAll();
        }
        catch (Exception e)
        {
            // Out of a timer's callback it would end the process.
            _core.Log.TelemetryFailed(e);
        }
    }

    private void FeedAll()
    {
        if (!_histograms.Exists(static h => h.Instrument.Enabled))
        {
            _isFeeding = false;
            _fed = [];
            return;
        }
        var reading = new MetricReading(_core);
        var fed = new Dictionary<(Metric, object), TimeDistribution>();
        foreach (var (metric, instrument) in _histograms)
        {
            foreach (var sample in metric.Read(reading))
            {
                var now = sample.Times!;
                var key = (metric, sample.Source!);
                fed[key] = now;
                if (!_isFeeding || !instrument.Enabled) continue;
                var tags = Tags(sample);
                foreach (var (time, count) in (now - _fed.GetValueOrDefault(key, TimeDistribution.Empty)).Buckets())
                {
                    var seconds = time / 1e6;
                    for (var i = 0L; i < count; i++) instrument.Record(seconds, tags);
                }
            }
        }
        (_fed, _isFeeding) = (fed, true);
    }

    private void Create<T>(MetricDefinition definition, Func<IEnumerable<Measurement<T>>> observe) where T : struct
    {
        var (name, unit, description) = (definition.Name!, definition.Unit, definition.Description);
        switch (definition.Kind)
        {
            case MetricKind.Counter:
                _meter.CreateObservableCounter(name, observe, unit, description);
                break;
            case MetricKind.UpDownCounter:
                _meter.CreateObservableUpDownCounter(name, observe, unit, description);
                break;
            default:
                _meter.CreateObservableGauge(name, observe, unit, description);
                break;
        }
    }

    private IEnumerable<Measurement<T>> Observe<T>(Metric metric, Func<double, T> convert) where T : struct =>
        metric.Read(Reading()).Where(s => s.Value != 0 || !CountsEvents(metric.Definition)).Select(s => new Measurement<T>(convert(s.Value), Tags(s)));

    // By kind, and most kinds never happen. OTLP tells when a series begins, Prometheus needs the 0 to see the first one grow.
    private static bool CountsEvents(MetricDefinition definition) =>
        definition.Kind == MetricKind.Counter && definition.Labels.Any(static l => l.Values is not null);

    private MetricReading Reading()
    {
        lock (_readingLock)
        {
            if (_reading is null || _core.TimeProvider.GetElapsedTime(_readAt) > ReadingLife)
            {
                _reading = new MetricReading(_core);
                _readAt = _core.TimeProvider.GetTimestamp();
            }
            return _reading;
        }
    }

    private static KeyValuePair<string, object?>[] Tags(MetricSample sample) =>
        [.. sample.Labels.Where(l => l.Key.Attribute.Length > 0).Select(l => new KeyValuePair<string, object?>(l.Key.Attribute, l.Value))];
}
