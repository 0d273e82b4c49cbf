using System.Buffers;

namespace Pooler.Engine.Loops;

/// <summary>
/// Bytes that have to wait, in a rented array: input the handler did not consume, or output the kernel did not take.
/// Empty it holds no array.
/// </summary>
internal struct HeldBytes
{
    private byte[]? _array;
    private int _start;
    private int _end;

    public readonly bool IsEmpty => _start == _end;

    public readonly int Length => _end - _start;

    public readonly Span<byte> Span => _array.AsSpan(_start, _end - _start);

    public readonly Memory<byte> Memory => _array.AsMemory(_start, _end - _start);

    public void Append(ReadOnlySpan<byte> data)
    {
        data.CopyTo(Room(data.Length));
        _end += data.Length;
    }

    /// <summary>
    /// Free space behind the bytes, at least <paramref name="atLeast"/> long. Grows by doubling, so that a big message
    /// is copied a constant number of times.
    /// </summary>
    public Span<byte> Room(int atLeast) => RoomMemory(atLeast).Span;

    /// <inheritdoc cref="Room"/>
    public Memory<byte> RoomMemory(int atLeast)
    {
        if (_array is null)
        {
            _array = ArrayPool<byte>.Shared.Rent(atLeast);
        }
        else if (_array.Length - _end < atLeast)
        {
            var length = Length;
            if (_array.Length - length >= atLeast && length <= _array.Length / 2)
            {
                Span.CopyTo(_array);
            }
            else
            {
                var bigger = ArrayPool<byte>.Shared.Rent(checked(Math.Max(length + atLeast, 2 * length)));
                Span.CopyTo(bigger);
                ArrayPool<byte>.Shared.Return(_array);
                _array = bigger;
            }

            _start = 0;
            _end = length;
        }

        return _array.AsMemory(_end);
    }

    /// <summary>Counts bytes that were written into <see cref="Room"/>.</summary>
    public void Added(int count) => _end += count;

    /// <summary>Drops bytes from the front.</summary>
    public void Consume(int count)
    {
        _start += count;
        if (_start == _end)
            Release();
    }

    public void Release()
    {
        if (_array is not null)
            ArrayPool<byte>.Shared.Return(_array);
        this = default;
    }
}
