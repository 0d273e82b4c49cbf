using OpenTelemetry;
using OpenTelemetry.Logs;

namespace ServiceDefaults;

/// <summary>What a service adds to the defaults: its own telemetry sources and meters.</summary>
public sealed class ServiceDefaultsOptions
{
    /// <summary>
    /// Names of the activity sources whose spans are exported. Starts with what ASP.NET Core, HttpClient and Npgsql
    /// emit by themselves; a name may end in <c>*</c>.
    /// </summary>
    public IList<string> ActivitySources { get; } = ["Microsoft.AspNetCore", "System.Net.Http", "Npgsql"];

    /// <summary>Names of the meters whose measurements are exported; a name may end in <c>*</c>.</summary>
    public IList<string> Meters { get; } =
    [
        "Microsoft.AspNetCore.Hosting",
        "Microsoft.AspNetCore.Server.Kestrel",
        "System.Net.Http",
        "System.Runtime",
        "Npgsql",
    ];

    /// <summary>See every log record before it is exported, and may change it.</summary>
    public IList<BaseProcessor<LogRecord>> LogProcessors { get; } = [];

    /// <summary>
    /// <c>service.name</c> of the exported telemetry when neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES names
    /// one. <see langword="null"/> means the host's application name.
    /// </summary>
    public string? ServiceName { get; set; }
}
