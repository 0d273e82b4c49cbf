using Pooler.Engine.Sessions.Cancelling;

namespace Pooler.Engine.Console;

/// <summary>How many of a pool's or peer's cancel requests are how far.</summary>
/// <param name="Active">Sent, and not answered by the end of the connection yet.</param>
/// <param name="Waiting">Not sent yet; those that connect included.</param>
/// <param name="Connecting">Of the waiting ones, those that connect.</param>
internal readonly record struct CancelCounts(int Active, int Waiting, int Connecting)
{
    public static CancelCounts Of(CancelDelivery[] deliveries)
    {
        int Count(DeliveryState state) => deliveries.Count(d => d.State == state);
        var connecting = Count(DeliveryState.Connecting);
        return new CancelCounts(Count(DeliveryState.Sent), Count(DeliveryState.Waiting) + connecting, connecting);
    }
}
