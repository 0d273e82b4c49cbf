using System.Diagnostics.CodeAnalysis;
using Npgsql;
using Xunit;
using Xunit.Sdk;

[assembly: RegisterXunitSerializer(typeof(Pooler.IntegrationTests.VariantSerializer), typeof(Pooler.IntegrationTests.Variant))]

namespace Pooler.IntegrationTests;

/// <summary>What the tests of the pool share.</summary>
public abstract class PoolerTest(PostgresForPooler postgres)
{
    /// <summary>Both kinds of loop.</summary>
    public static readonly TheoryData<Variant> Backends = OperatingSystem.IsLinux()
        ? [new Variant("epoll", 1), new Variant("sockets", 1)]
        : [new Variant("sockets", 1)];

    /// <summary>Both kinds of loop, alone and four together.</summary>
    public static readonly TheoryData<Variant> BackendsAndLoops = OperatingSystem.IsLinux()
        ? [new Variant("epoll", 1), new Variant("epoll", 4), new Variant("sockets", 1), new Variant("sockets", 4)]
        : [new Variant("sockets", 1), new Variant("sockets", 4)];

    /// <summary>Both kinds of loop, four together.</summary>
    public static readonly TheoryData<Variant> ManyLoops = OperatingSystem.IsLinux()
        ? [new Variant("epoll", 4), new Variant("sockets", 4)]
        : [new Variant("sockets", 4)];

    /// <summary>Where a test needs no more than one kind.</summary>
    internal static Variant AnyVariant => new(OperatingSystem.IsLinux() ? "epoll" : "sockets", 1);

    protected static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    protected PostgresForPooler Postgres => postgres;

    protected Task<string> NewDatabaseAsync() => postgres.NewDatabaseAsync(Cancelled);

    /// <summary>Backends of a database, seen from the server itself.</summary>
    protected async Task<long> BackendsOfAsync(string database, string condition = "true") =>
        (long)(await postgres.Server.ExecuteAsync(
            $"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'client backend' AND {condition}",
            cancellationToken: Cancelled))!;

    protected static async Task<object?> ScalarAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(Cancelled);
    }

    protected static async Task ExecuteAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(Cancelled);
    }
}

/// <summary>Lets the test runner name and choose the variants of a theory one by one.</summary>
public sealed class VariantSerializer : IXunitSerializer
{
    public object Deserialize(Type type, string serializedValue)
    {
        var parts = serializedValue.Split(' ');
        return new Variant(parts[0], int.Parse(parts[1]));
    }

    public bool IsSerializable(Type type, object? value, [NotNullWhen(false)] out string? failureReason)
    {
        failureReason = null;
        return true;
    }

    public string Serialize(object value) => $"{((Variant)value).Backend} {((Variant)value).Loops}";
}
