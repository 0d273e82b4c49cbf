using System.Net;
using System.Net.Sockets;
using Pooler.Engine.Pools;
using Pooler.Engine.Protocol;

namespace Pooler.Engine.Sessions;

/// <summary>
/// What becomes of the parameters that a client asks for in its startup packet: taken over, thrown away
/// (<c>ignore_startup_parameters</c>), or a reason to turn the client away.
/// </summary>
internal static class RequestedParameters
{
    private const string Options = "options";

    /// <summary>Stands for the name of a client that gives none, where the address is added to it.</summary>
    private const string Nameless = "app";

    /// <summary>Why the client cannot be served as it asks; null when it can.</summary>
    public static PgError? FindUnsupported(EngineCore engine, StartupPacket startup)
    {
        foreach (var (name, _) in startup.Parameters)
            if (!engine.IsIgnoredAtStartup(name) && !SessionParameters.IsPlainName(name)) return Refuse("unsupported startup parameter: " + name);
        foreach (var (name, _) in startup.OptionSettings)
            if (!IsIgnoredOption(engine, name) && !SessionParameters.IsPlainName(name)) return Refuse("unsupported startup parameter in options: " + name);
        return null;
    }

    /// <summary>The client's value of pooler.traceparent, of which no server hears; null when it gives none.</summary>
    public static string? FindTrace(EngineCore engine, StartupPacket startup)
    {
        string? value = null;
        foreach (var (name, setting) in startup.OptionSettings.Concat(startup.Parameters))
            if (IsTrace(name)) value = setting;
        return engine.IsIgnoredAtStartup(TraceCommand.Parameter) ? null : value;
    }

    /// <summary>The client's parameters: those of a fresh server, changed as the client asks.</summary>
    public static SessionParameters Apply(EngineCore engine, StartupPacket startup, SessionParameters server, string address, int port)
    {
        var parameters = server;
        string? applicationName = null;
        foreach (var (name, value) in startup.OptionSettings)
            if (!IsIgnoredOption(engine, name) && !IsTrace(name)) Set(name, value);
        foreach (var (name, value) in startup.Parameters)
            if (!engine.IsIgnoredAtStartup(name) && !IsTrace(name)) Set(name, value);
        return engine.Settings.ApplicationNameAddHost
            ? parameters.With("application_name", $"{applicationName ?? Nameless} - {Written(address)}:{port}")
            : parameters;

        void Set(string name, string value)
        {
            parameters = parameters.With(name, value);
            if (name.Equals("application_name", StringComparison.OrdinalIgnoreCase)) applicationName = value;
        }
    }

    /// <summary>Whether it is the parameter that no server sees.</summary>
    public static bool IsTrace(string name) => name.Equals(TraceCommand.Parameter, StringComparison.OrdinalIgnoreCase);

    // With "options" in the list, those settings in it are thrown away that PgBouncer would not understand.
    private static bool IsIgnoredOption(EngineCore engine, string name) =>
        engine.IsIgnoredAtStartup(name) || (engine.IsIgnoredAtStartup(Options) && !engine.IsTracked(name));

    private static string Written(string address) =>
        IPAddress.TryParse(address, out var ip) && ip.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{address}]" : address;

    private static PgError Refuse(string message) =>
        PgError.Fatal(SqlState.ProtocolViolation, message, hint: "List it in ignore_startup_parameters to have it ignored.");
}
