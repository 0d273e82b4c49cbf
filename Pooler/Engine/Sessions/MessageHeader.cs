using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Pooler.Engine.Sessions;

/// <summary>The five bytes in front of every message after startup: type and length (which counts itself).</summary>
internal static class MessageHeader
{
    public const int Size = 5;

    /// <summary>The length field: body plus four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Length(ReadOnlySpan<byte> message) => BinaryPrimitives.ReadInt32BigEndian(message[1..]);
}
