namespace SampleWeb.Data;

/// <summary>Lets a guest in who knows both the code on the card and its token; a row of <c>invitations</c>.</summary>
internal sealed class InvitationCode
{
    public required string Code { get; init; }

    public required string Token { get; init; }

    public required string GuestName { get; init; }

    /// <summary>First use. A guest may come back with the same card.</summary>
    public DateTimeOffset? UsedAt { get; set; }
}
