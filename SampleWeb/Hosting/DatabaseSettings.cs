namespace SampleWeb.Hosting;

/// <summary>The chosen connection string, with its password, which a data source does not give back.</summary>
internal sealed record DatabaseSettings(string ConnectionString)
{
    // A record would print its members, and this one is secret.
    public override string ToString() => nameof(DatabaseSettings);
}
