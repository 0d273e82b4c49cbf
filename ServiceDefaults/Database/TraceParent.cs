using System.Diagnostics;

namespace ServiceDefaults.Database;

/// <summary>The name of a span as W3C Trace Context writes it in the header <c>traceparent</c>.</summary>
internal static class TraceParent
{
    /// <summary>Null when nobody records the span. Consists of hexadecimal digits and hyphens: it needs no quoting in SQL.</summary>
    public static string? Of(Activity? activity) =>
        activity is { Recorded: true, IdFormat: ActivityIdFormat.W3C } ? activity.Id : null;
}
