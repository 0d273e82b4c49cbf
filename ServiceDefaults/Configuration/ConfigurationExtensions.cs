using Microsoft.Extensions.Configuration;

namespace ServiceDefaults.Configuration;

/// <summary>Reads the settings that connect a service to the others.</summary>
public static class ConfigurationExtensions
{
    /// <summary>The switch that chooses between the pooled and the direct database: true or false.</summary>
    public const string PooledSwitch = "USE_PGBOUNCER";

    /// <summary>
    /// The connection string of a database. With <see cref="PooledSwitch"/> set it is <c>{name}-pooled</c> (or
    /// <c>{name}_pooled</c>) for true and <c>{name}-direct</c> (or <c>{name}_direct</c>) for false, when that one is
    /// configured. In all other cases it is <c>{name}</c> itself: whoever wires the topology has then chosen.
    /// </summary>
    /// <param name="configuration">The configuration to read.</param>
    /// <param name="name">The database's name, for example <c>shop</c>.</param>
    /// <exception cref="MissingSettingException">There is no such connection string, or the switch is no truth value.</exception>
    public static string GetDatabaseConnectionString(this IConfiguration configuration, string name)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentException.ThrowIfNullOrEmpty(name);

        var pooled = configuration.GetSwitch(PooledSwitch);
        var suffix = pooled switch { true => "pooled", false => "direct", null => null };
        var chosen = suffix is null ? null : Find($"{name}-{suffix}") ?? Find($"{name}_{suffix}");
        if ((chosen ?? Find(name)) is { } connectionString)
            return connectionString;

        if (suffix is not null)
        {
            throw new MissingSettingException(
                $"ConnectionStrings__{name}-{suffix}",
                $"{PooledSwitch} is {(pooled is true ? "true" : "false")}, but there is no connection string for it: set the environment variable "
                + $"ConnectionStrings__{name}-{suffix} (or ConnectionStrings__{name}_{suffix}), or ConnectionStrings__{name} for either case.");
        }

        var hasOthers = new[] { "-pooled", "_pooled", "-direct", "_direct" }.Any(other => Find(name + other) is not null);
        throw Missing(
            $"ConnectionStrings__{name}",
            $"the connection string of database '{name}'",
            hasOthers ? $" or choose one of the configured ones with {PooledSwitch}=true|false" : "");

        string? Find(string key) => NullIfBlank(configuration.GetConnectionString(key));
    }

    /// <summary>A connection string that must be there.</summary>
    /// <param name="configuration">The configuration to read.</param>
    /// <param name="name">The name below <c>ConnectionStrings</c>, for example <c>redis</c>.</param>
    /// <exception cref="MissingSettingException">There is no such connection string.</exception>
    public static string GetRequiredConnectionString(this IConfiguration configuration, string name)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentException.ThrowIfNullOrEmpty(name);
        return NullIfBlank(configuration.GetConnectionString(name))
            ?? throw Missing($"ConnectionStrings__{name}", $"the connection string of '{name}'");
    }

    /// <summary>
    /// The base address of another service of the stack, as Aspire's service discovery hands it out
    /// (<c>services__web__http__0</c>).
    /// </summary>
    /// <param name="configuration">The configuration to read.</param>
    /// <param name="service">The service's resource name, for example <c>web</c>.</param>
    /// <param name="endpoint">The endpoint's name.</param>
    /// <exception cref="MissingSettingException">The address is not configured or is no absolute http(s) URL.</exception>
    public static Uri GetServiceAddress(this IConfiguration configuration, string service, string endpoint = "http")
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentException.ThrowIfNullOrEmpty(service);
        ArgumentException.ThrowIfNullOrEmpty(endpoint);

        var key = $"services__{service}__{endpoint}__0";
        var value = NullIfBlank(configuration[$"services:{service}:{endpoint}:0"])
            ?? throw Missing(key, $"the address of service '{service}', for example http://localhost:5000");

        return Uri.TryCreate(value, UriKind.Absolute, out var address) && address.Scheme is "http" or "https"
            ? address
            : throw new MissingSettingException(key, $"{key} is not an absolute http or https URL.");
    }

    /// <summary>A truth value: true/false, 1/0, yes/no, on/off, in any case; <see langword="null"/> when not set.</summary>
    /// <param name="configuration">The configuration to read.</param>
    /// <param name="key">The setting's name.</param>
    /// <exception cref="MissingSettingException">The setting has another value.</exception>
    public static bool? GetSwitch(this IConfiguration configuration, string key)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        return NullIfBlank(configuration[key])?.Trim().ToLowerInvariant() switch
        {
            null => null,
            "true" or "1" or "yes" or "on" => true,
            "false" or "0" or "no" or "off" => false,
            _ => throw new MissingSettingException(key, $"{key} must be true or false (also 1/0, yes/no, on/off)."),
        };
    }

    private static MissingSettingException Missing(string key, string meaning, string alternative = "") =>
        new(key, $"Missing setting {key}: set this environment variable to {meaning}{alternative}.");

    private static string? NullIfBlank(string? value) => string.IsNullOrWhiteSpace(value) ? null : value;
}
