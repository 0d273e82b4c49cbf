namespace Pooler.Engine.Encryption;

/// <summary>Settings or files from which no TLS can be made.</summary>
/// <param name="setting">The setting to change.</param>
/// <param name="message">What is wrong with it; without the setting's name.</param>
internal sealed class TlsSetupException(string setting, string message) : Exception(message)
{
    public string Setting { get; } = setting;
}
