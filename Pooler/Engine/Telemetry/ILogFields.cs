namespace Pooler.Engine.Telemetry;

/// <summary>A value in a log message that is several fields to programs; people read its <see cref="object.ToString"/>.</summary>
public interface ILogFields
{
    /// <summary>As members of a JSON line.</summary>
    IEnumerable<KeyValuePair<string, object>> ForJson();

    /// <summary>
    /// As attributes of an OpenTelemetry log record: by the semantic conventions where they have a name, <c>pooler.*</c>
    /// elsewhere, and the same as on spans.
    /// </summary>
    IEnumerable<KeyValuePair<string, object>> AsAttributes();
}
