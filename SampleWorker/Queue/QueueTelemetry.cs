using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace SampleQueue;

/// <summary>Names under which the queue's spans and figures are found, for those who set up exporters.</summary>
public static class QueueTelemetry
{
    /// <summary>Name of the <see cref="ActivitySource"/>: a producer span per enqueued task, a consumer span per attempt.</summary>
    public const string ActivitySourceName = "SampleQueue";

    /// <summary>Name of the <see cref="Meter"/>.</summary>
    public const string MeterName = "SampleQueue";

    internal static readonly ActivitySource Source = new(ActivitySourceName);

    private static readonly Meter Meter = new(MeterName);

    // Names of the OpenTelemetry semantic conventions for messaging, where they have one.
    internal static readonly Counter<long> Sent =
        Meter.CreateCounter<long>("messaging.client.sent.messages", "{message}", "Tasks enqueued");

    internal static readonly Counter<long> Consumed =
        Meter.CreateCounter<long>("messaging.client.consumed.messages", "{message}", "Tasks taken from a queue");

    internal static readonly Histogram<double> ProcessDuration =
        Meter.CreateHistogram<double>("messaging.process.duration", "s", "Time an attempt took");

    internal static readonly Histogram<double> QueueTime =
        Meter.CreateHistogram<double>("samplequeue.wait.duration", "s", "Time a task waited in its queue");

    internal static readonly UpDownCounter<long> Running =
        Meter.CreateUpDownCounter<long>("samplequeue.running", "{task}", "Tasks that run now");

    internal static readonly Counter<long> Reclaimed =
        Meter.CreateCounter<long>("samplequeue.reclaimed", "{task}", "Tasks taken over from a worker that died");
}
