using System.Security.Cryptography;
using System.Text;
using StackExchange.Redis;

namespace SampleQueue;

/// <summary>
/// A Lua script that Redis runs as one step. Called by its hash; sent in full when Redis does not know it
/// (first use, or Redis was restarted), which StackExchange.Redis 1.2.6 leaves to its caller for asynchronous calls.
/// </summary>
internal sealed class RedisScript(string body)
{
    // StackExchange.Redis 1.2.6 puts no limit on asynchronous calls.
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    private readonly string _hash = Convert.ToHexStringLower(SHA1.HashData(Encoding.UTF8.GetBytes(body)));

    public async Task<RedisResult> RunAsync(IDatabase database, string prefix, params RedisValue[] arguments)
    {
        try
        {
            return await database.ExecuteAsync("EVALSHA", Arguments(_hash, prefix, arguments)).WaitAsync(Timeout).ConfigureAwait(false);
        }
        catch (RedisServerException error) when (error.Message.StartsWith("NOSCRIPT", StringComparison.Ordinal))
        {
            return await database.ExecuteAsync("EVAL", Arguments(body, prefix, arguments)).WaitAsync(Timeout).ConfigureAwait(false);
        }
    }

    // One key is declared, the prefix: every key begins with it, and its {hash tag} keeps them in one cluster slot.
    private static object[] Arguments(RedisValue script, string prefix, RedisValue[] arguments) =>
        [script, (RedisValue)1, (RedisKey)prefix, .. arguments];
}
