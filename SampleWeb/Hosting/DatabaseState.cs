namespace SampleWeb.Hosting;

/// <summary>Whether the tables are there yet.</summary>
internal sealed class DatabaseState
{
    private volatile bool _isReady;

    public bool IsReady => _isReady;

    public void BecomeReady() => _isReady = true;
}
