namespace Testing.Otlp;

/// <summary>Attributes by name: strings, booleans, long, double, lists of these.</summary>
public sealed class OtlpAttributes : Dictionary<string, object?>
{
    /// <summary>The value as text; null when there is none.</summary>
    public string? Text(string name) => this.GetValueOrDefault(name) is { } value ? FormattableString.Invariant($"{value}") : null;
}

/// <summary>Who sent something: the resource, and the instrumentation scope (activity source, meter, log category).</summary>
public sealed record OtlpSource(OtlpAttributes Resource, string Scope)
{
    /// <summary>service.name.</summary>
    public string Service => Resource.Text("service.name") ?? "";
}

/// <summary>A span. Ids are hexadecimal; <see cref="ParentId"/> is empty for a root.</summary>
public sealed record OtlpSpan(OtlpSource Source, string TraceId, string Id, string ParentId, string Name, OtlpSpanKind Kind)
{
    /// <summary>Nanoseconds since 1970.</summary>
    public ulong Start { get; init; }

    /// <summary>Nanoseconds since 1970.</summary>
    public ulong End { get; init; }

    /// <summary>Its attributes.</summary>
    public OtlpAttributes Attributes { get; init; } = [];

    /// <summary>Names of its events.</summary>
    public IReadOnlyList<string> Events { get; init; } = [];

    /// <summary>Spans it is linked to.</summary>
    public IReadOnlyList<(string TraceId, string SpanId)> Links { get; init; } = [];

    /// <summary>0 unset, 1 ok, 2 error.</summary>
    public int Status { get; init; }

    /// <summary>What the status says.</summary>
    public string StatusMessage { get; init; } = "";

    /// <inheritdoc/>
    public override string ToString() =>
        $"{Source.Service}: {Name} [{Kind}] {Id} < {ParentId} {Start}+{End - Start} "
        + string.Join(", ", Attributes.Select(attribute => $"{attribute.Key}={attribute.Value}"));
}

/// <summary>OTLP's numbers of kinds.</summary>
public enum OtlpSpanKind
{
    Unspecified = 0,
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// <summary>One value of a metric at one time.</summary>
public sealed record OtlpPoint(OtlpSource Source, string Name, string Unit, OtlpMetricKind Kind, OtlpAttributes Attributes)
{
    /// <summary>The number; of a histogram the sum of all values.</summary>
    public double Value { get; init; }

    /// <summary>How many values, of a histogram.</summary>
    public long Count { get; init; }

    /// <summary>Upper bounds of a histogram's buckets, the last of which has none.</summary>
    public IReadOnlyList<double> Bounds { get; init; } = [];

    /// <summary>Counts of a histogram's buckets.</summary>
    public IReadOnlyList<long> Buckets { get; init; } = [];
}

/// <summary>Kinds of metrics.</summary>
public enum OtlpMetricKind
{
    Gauge,
    Sum,
    Histogram,
    Other,
}

/// <summary>A log record.</summary>
public sealed record OtlpLog(OtlpSource Source, string Severity, string Body, OtlpAttributes Attributes, string TraceId, string SpanId)
{
    /// <summary>The event's name.</summary>
    public string EventName { get; init; } = "";
}

/// <summary>One request of an exporter.</summary>
/// <param name="Signal">traces, metrics or logs.</param>
/// <param name="Protocol">http/protobuf or grpc.</param>
/// <param name="ContentType">What it calls its body.</param>
/// <param name="Headers">All of its headers.</param>
public sealed record OtlpExport(string Signal, string Protocol, string ContentType, IReadOnlyDictionary<string, string> Headers);
