namespace ServiceDefaults.Configuration;

/// <summary>A setting that the service can't start without is missing or unusable. The message names it and says what to set.</summary>
public sealed class MissingSettingException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="key">The setting's name as an environment variable.</param>
    /// <param name="message">What is wrong and how to mend it; without the setting's value, which may be secret.</param>
    public MissingSettingException(string key, string message)
        : base(message)
    {
        Key = key;
    }

    /// <summary>The setting's name as an environment variable, for example <c>ConnectionStrings__shop</c>.</summary>
    public string Key { get; }
}
