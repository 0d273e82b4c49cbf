using System.Globalization;

namespace Testing.Otlp;

/// <summary>Takes OTLP's messages apart. Field numbers are those of opentelemetry-proto 1.</summary>
internal static class OtlpMessages
{
    private delegate void Item(ReadOnlySpan<byte> message, OtlpSource source);

    /// <summary>ExportTraceServiceRequest.</summary>
    public static List<OtlpSpan> Spans(ReadOnlySpan<byte> request)
    {
        var spans = new List<OtlpSpan>();
        Each(request, (message, source) => spans.Add(Span(message, source)));
        return spans;
    }

    /// <summary>ExportMetricsServiceRequest.</summary>
    public static List<OtlpPoint> Points(ReadOnlySpan<byte> request)
    {
        var points = new List<OtlpPoint>();
        Each(request, (message, source) => AddPoints(points, message, source));
        return points;
    }

    /// <summary>ExportLogsServiceRequest.</summary>
    public static List<OtlpLog> Logs(ReadOnlySpan<byte> request)
    {
        var logs = new List<OtlpLog>();
        Each(request, (message, source) => logs.Add(Log(message, source)));
        return logs;
    }

    // All three signals have the same frame: resources, with scopes, with items.
    private static void Each(ReadOnlySpan<byte> request, Item item)
    {
        var resources = new ProtobufReader(request);
        while (resources.Read())
        {
            if (resources.Field != 1)
                continue;

            var attributes = new OtlpAttributes();
            var parts = new ProtobufReader(resources.Bytes);
            while (parts.Read())
            {
                if (parts.Field == 1)
                    attributes = Attributes(parts.Bytes, 1);
                else if (parts.Field == 2)
                    EachOfScope(parts.Bytes, attributes, item);
            }
        }
    }

    private static void EachOfScope(ReadOnlySpan<byte> scope, OtlpAttributes resource, Item item)
    {
        var name = "";
        var parts = new ProtobufReader(scope);
        while (parts.Read())
        {
            if (parts.Field == 1)
            {
                var fields = new ProtobufReader(parts.Bytes);
                while (fields.Read())
                    name = fields.Field == 1 ? fields.Text : name;
            }
            else if (parts.Field == 2)
            {
                item(parts.Bytes, new OtlpSource(resource, name));
            }
        }
    }

    private static OtlpSpan Span(ReadOnlySpan<byte> message, OtlpSource source)
    {
        var span = new OtlpSpan(source, "", "", "", "", OtlpSpanKind.Unspecified) { Attributes = Attributes(message, 9) };
        var events = new List<string>();
        var links = new List<(string, string)>();
        var fields = new ProtobufReader(message);
        while (fields.Read())
        {
            span = fields.Field switch
            {
                1 => span with { TraceId = Hex(fields.Bytes) },
                2 => span with { Id = Hex(fields.Bytes) },
                4 => span with { ParentId = Hex(fields.Bytes) },
                5 => span with { Name = fields.Text },
                6 => span with { Kind = (OtlpSpanKind)fields.Number },
                7 => span with { Start = fields.Number },
                8 => span with { End = fields.Number },
                15 => WithStatus(span, fields.Bytes),
                _ => span,
            };
            if (fields.Field == 11)
                events.Add(NameOfEvent(fields.Bytes));
            else if (fields.Field == 13)
                links.Add(Link(fields.Bytes));
        }

        return span with { Events = events, Links = links };
    }

    private static OtlpSpan WithStatus(OtlpSpan span, ReadOnlySpan<byte> status)
    {
        var fields = new ProtobufReader(status);
        while (fields.Read())
            span = fields.Field == 2 ? span with { StatusMessage = fields.Text } : fields.Field == 3 ? span with { Status = (int)fields.Number } : span;
        return span;
    }

    private static string NameOfEvent(ReadOnlySpan<byte> message)
    {
        var name = "";
        var fields = new ProtobufReader(message);
        while (fields.Read())
            name = fields.Field == 2 ? fields.Text : name;
        return name;
    }

    private static (string TraceId, string SpanId) Link(ReadOnlySpan<byte> message)
    {
        var link = (TraceId: "", SpanId: "");
        var fields = new ProtobufReader(message);
        while (fields.Read())
        {
            if (fields.Field == 1)
                link.TraceId = Hex(fields.Bytes);
            else if (fields.Field == 2)
                link.SpanId = Hex(fields.Bytes);
        }

        return link;
    }

    private static void AddPoints(List<OtlpPoint> points, ReadOnlySpan<byte> metric, OtlpSource source)
    {
        var (name, unit) = ("", "");
        var fields = new ProtobufReader(metric);
        while (fields.Read())
        {
            name = fields.Field == 1 ? fields.Text : name;
            unit = fields.Field == 3 ? fields.Text : unit;
            OtlpMetricKind? kind = fields.Field switch
            {
                5 => OtlpMetricKind.Gauge,
                7 => OtlpMetricKind.Sum,
                9 => OtlpMetricKind.Histogram,
                10 or 11 => OtlpMetricKind.Other,
                _ => null,
            };
            if (kind is null)
                continue;

            var data = new ProtobufReader(fields.Bytes);
            while (data.Read())
            {
                if (data.Field == 1)
                    points.Add(Point(data.Bytes, new OtlpPoint(source, name, unit, kind.Value, [])));
            }
        }
    }

    private static OtlpPoint Point(ReadOnlySpan<byte> message, OtlpPoint point)
    {
        var isHistogram = point.Kind == OtlpMetricKind.Histogram;
        point = point with { Attributes = Attributes(message, isHistogram ? 9 : 7) };
        var fields = new ProtobufReader(message);
        while (fields.Read())
        {
            point = (isHistogram, fields.Field) switch
            {
                (false, 4) => point with { Value = fields.Double },
                (false, 6) => point with { Value = (long)fields.Number },
                (true, 4) => point with { Count = (long)fields.Number },
                (true, 5) => point with { Value = fields.Double },
                (true, 6) => point with { Buckets = [.. fields.Packed.Select(count => (long)count)] },
                (true, 7) => point with { Bounds = [.. fields.Packed.Select(BitConverter.UInt64BitsToDouble)] },
                _ => point,
            };
        }

        return point;
    }

    private static OtlpLog Log(ReadOnlySpan<byte> message, OtlpSource source)
    {
        var log = new OtlpLog(source, "", "", Attributes(message, 6), "", "");
        var fields = new ProtobufReader(message);
        while (fields.Read())
        {
            log = fields.Field switch
            {
                3 => log with { Severity = fields.Text },
                5 => log with { Body = Convert.ToString(Value(fields.Bytes), CultureInfo.InvariantCulture) ?? "" },
                9 => log with { TraceId = Hex(fields.Bytes) },
                10 => log with { SpanId = Hex(fields.Bytes) },
                12 => log with { EventName = fields.Text },
                _ => log,
            };
        }

        return log;
    }

    private static OtlpAttributes Attributes(ReadOnlySpan<byte> message, int field)
    {
        var attributes = new OtlpAttributes();
        var fields = new ProtobufReader(message);
        while (fields.Read())
        {
            if (fields.Field != field)
                continue;

            var (key, value) = ("", (object?)null);
            var pair = new ProtobufReader(fields.Bytes);
            while (pair.Read())
            {
                if (pair.Field == 1)
                    key = pair.Text;
                else if (pair.Field == 2)
                    value = Value(pair.Bytes);
            }

            attributes[key] = value;
        }

        return attributes;
    }

    private static object? Value(ReadOnlySpan<byte> message)
    {
        object? value = null;
        var fields = new ProtobufReader(message);
        while (fields.Read())
        {
            value = fields.Field switch
            {
                1 => fields.Text,
                2 => fields.Number != 0,
                3 => (long)fields.Number,
                4 => fields.Double,
                5 => List(fields.Bytes),
                7 => Hex(fields.Bytes),
                _ => value,
            };
        }

        return value;
    }

    private static List<object?> List(ReadOnlySpan<byte> message)
    {
        var values = new List<object?>();
        var fields = new ProtobufReader(message);
        while (fields.Read())
            values.Add(Value(fields.Bytes));
        return values;
    }

    private static string Hex(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(bytes);
}
