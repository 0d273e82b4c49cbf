namespace LocalRun.Manifest;

/// <summary>The manifest has a mistake, or asks for something that cannot run as a local process. The message names the resource.</summary>
public sealed class ManifestException(string message) : Exception(message);
