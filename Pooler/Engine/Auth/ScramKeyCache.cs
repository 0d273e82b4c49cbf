using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Pooler.Engine.Auth;

/// <summary>
/// Remembers derived SCRAM keys, so that a pool that opens 25 connections with one password derives once, also when
/// all begin at the same moment. Shared by all loops. Entries are found by a keyed hash: the cache holds no password.
/// </summary>
internal sealed class ScramKeyCache(int capacity)
{
    /// <summary>The process's cache. Users of a pooler are few; one of hostile variety pushes out the oldest.</summary>
    public static ScramKeyCache Shared { get; } = new(1024);

    // Half of the cores at most, so that a login storm leaves the other half to running traffic.
    private static readonly TaskFactory Derivations = new(
        new ConcurrentExclusiveSchedulerPair(TaskScheduler.Default, Math.Max(1, Environment.ProcessorCount / 2)).ConcurrentScheduler);

    private static readonly byte[] HashKey = RandomNumberGenerator.GetBytes(32);

    private readonly Lock _lock = new();
    private readonly Dictionary<UInt128, Task<ScramKeys>> _entries = [];
    private readonly Queue<UInt128> _byAge = new();

    /// <summary>
    /// The keys, or the derivation that is under way off the loops. A task that is complete costs no wait.
    /// </summary>
    public Task<ScramKeys> Get(byte[] password, byte[] salt, int iterations)
    {
        var key = Fingerprint(password, salt, iterations);
        lock (_lock)
        {
            if (_entries.TryGetValue(key, out var known)) return known;
            if (_byAge.Count >= capacity) _entries.Remove(_byAge.Dequeue());
            var derivation = Derive(password, salt, iterations);
            _entries.Add(key, derivation);
            _byAge.Enqueue(key);
            return derivation;
        }
    }

    /// <summary>Derives off the loops without remembering: for passwords that may be an attacker's guesses.</summary>
    public static Task<ScramKeys> Derive(byte[] password, byte[] salt, int iterations) =>
        Derivations.StartNew(() => ScramKeys.Derive(password, salt, iterations));

    private static UInt128 Fingerprint(ReadOnlySpan<byte> password, ReadOnlySpan<byte> salt, int iterations)
    {
        using var hash = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, HashKey);
        Span<byte> lengths = stackalloc byte[8];
        BinaryPrimitives.WriteInt32LittleEndian(lengths, password.Length);
        BinaryPrimitives.WriteInt32LittleEndian(lengths[4..], iterations);
        hash.AppendData(lengths);
        hash.AppendData(password);
        hash.AppendData(salt);
        Span<byte> result = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(result);
        return BinaryPrimitives.ReadUInt128LittleEndian(result);
    }
}
