using System.Reflection;
using Microsoft.Extensions.Logging;
using Pooler.Engine.Telemetry;
using Xunit;

namespace Pooler.UnitTests.Telemetry;

public sealed class EngineLogTests
{
    private static (MethodInfo Method, LoggerMessageAttribute Message)[] Messages =>
    [
        .. typeof(EngineLog).GetMethods(BindingFlags.Public | BindingFlags.Instance)
            .Select(m => (m, m.GetCustomAttribute<LoggerMessageAttribute>()!)).Where(m => m.Item2 is not null),
    ];

    [Fact]
    public void Every_message_has_an_id_and_a_name_of_its_own()
    {
        Assert.NotEmpty(Messages);
        Assert.All(Messages.GroupBy(m => m.Message.EventId), same => Assert.True(same.Count() == 1, $"{same.Key}: {string.Join(", ", same.Select(m => m.Method.Name))}"));
        Assert.All(Messages.GroupBy(m => m.Message.EventName), same => Assert.True(same.Key is not null && same.Count() == 1, $"{same.Key}: {string.Join(", ", same.Select(m => m.Method.Name))}"));
        Assert.DoesNotContain(Messages, m => m.Message.EventId <= 0);
    }

    [Fact]
    public void Connections_stand_at_the_beginning_of_a_message()
    {
        // Lines are PgBouncer's, which log parsers take apart; the JSON format takes the name off there.
        foreach (var (method, message) in Messages)
        {
            if (method.GetParameters().Any(p => p.ParameterType == typeof(ConnectionName)))
                Assert.StartsWith("{Connection} ", message.Message);
        }
    }
}
