using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using SampleWeb.Data;

namespace SampleWeb.Api;

/// <summary>
/// <c>POST /api/public/auth/</c> with <c>{"code": …, "token": …}</c>: 200 when both belong to an invitation, 400 for
/// everything else a client can send. The body is read by hand, because binding would answer some kinds of garbage with
/// 415.
/// </summary>
internal static class PublicAuthEndpoint
{
    private const int MaximumBody = 4096;
    private const int MaximumCode = 100;
    private const int MaximumToken = 200;

    public static void MapPublicAuth(this IEndpointRouteBuilder endpoints) =>
        endpoints.MapPost("/api/public/auth/", AuthenticateAsync).DisableAntiforgery();

    private static async Task<IResult> AuthenticateAsync(
        HttpRequest request, ShopContext context, TimeProvider time, CancellationToken cancellationToken)
    {
        if (await ReadAsync(request, cancellationToken) is not { } body || Credentials(body) is not var (code, token))
            return Refuse("Send a JSON object with the texts code and token.");

        var invitation = await context.Invitations.AsNoTracking().SingleOrDefaultAsync(i => i.Code == code, cancellationToken);

        // Compared here and not in SQL, in constant time: how long a wrong token takes must not tell how much of it is right.
        var matches = CryptographicOperations.FixedTimeEquals(
            Encoding.UTF8.GetBytes(token), Encoding.UTF8.GetBytes(invitation?.Token ?? ""));
        if (invitation is null || !matches)
            return Refuse("Code and token do not belong to an invitation.");

        if (invitation.UsedAt is null)
        {
            var now = time.GetUtcNow();
            await context.Invitations
                .Where(i => i.Code == code && i.UsedAt == null)
                .ExecuteUpdateAsync(row => row.SetProperty(i => i.UsedAt, now), cancellationToken);
        }

        return TypedResults.Ok(new { invitation.GuestName });
    }

    /// <summary>The body, or null when it is too long or breaks off.</summary>
    private static async Task<ReadOnlyMemory<byte>?> ReadAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        if (request.ContentLength > MaximumBody)
            return null;

        var buffer = new byte[MaximumBody + 1];
        var length = 0;
        try
        {
            while (length < buffer.Length)
            {
                var read = await request.Body.ReadAsync(buffer.AsMemory(length), cancellationToken);
                if (read == 0)
                    break;
                length += read;
            }
        }
        catch (BadHttpRequestException)
        {
            return null;
        }

        return length > MaximumBody ? null : buffer.AsMemory(0, length);
    }

    private static (string Code, string Token)? Credentials(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            return json.RootElement.ValueKind is JsonValueKind.Object
                && Text(json.RootElement, "code", MaximumCode) is { } code
                && Text(json.RootElement, "token", MaximumToken) is { } token
                ? (code, token)
                : null;
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // JsonException: no JSON. InvalidOperationException: a text with half a surrogate pair or broken UTF-8.
            return null;
        }
    }

    private static string? Text(JsonElement json, string name, int maximum) =>
        json.TryGetProperty(name, out var value)
        && value.ValueKind is JsonValueKind.String
        && value.GetString() is { Length: > 0 } text
        && text.Length <= maximum
        && StoredText.IsStorable(text)
            ? text
            : null;

    private static IResult Refuse(string reason) => TypedResults.Problem(reason, statusCode: StatusCodes.Status400BadRequest);
}
