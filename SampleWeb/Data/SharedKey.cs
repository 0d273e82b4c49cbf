namespace SampleWeb.Data;

/// <summary>A key that protects anti-forgery tokens and cookies, shared by all instances of the web.</summary>
internal sealed class SharedKey
{
    public required string Name { get; init; }

    public required string Xml { get; init; }
}
