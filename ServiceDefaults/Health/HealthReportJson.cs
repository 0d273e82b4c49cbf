using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace ServiceDefaults.Health;

/// <summary>
/// The body of a health response. It has each check's own description but never an exception's text: that one may name
/// hosts and users, and these endpoints answer anyone. The health check service logs exceptions.
/// </summary>
internal static partial class HealthReportJson
{
    public static Task WriteAsync(HttpContext context, HealthReport report)
    {
        var body = new Body(
            report.Status.ToString(),
            report.Entries.ToDictionary(
                entry => entry.Key,
                entry => new Check(
                    entry.Value.Status.ToString(),
                    entry.Value.Exception is null ? entry.Value.Description : null,
                    Math.Round(entry.Value.Duration.TotalMilliseconds, 2))));

        return context.Response.WriteAsJsonAsync(body, BodyContext.Default.Body, cancellationToken: context.RequestAborted);
    }

    internal sealed record Body(string Status, IReadOnlyDictionary<string, Check> Checks);

    internal sealed record Check(string Status, string? Description, double DurationMs);

    [JsonSourceGenerationOptions(
        JsonSerializerDefaults.Web,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
    [JsonSerializable(typeof(Body))]
    private sealed partial class BodyContext : JsonSerializerContext;
}
