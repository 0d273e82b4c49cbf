using System.Buffers.Binary;
using Pooler.Engine.Auth;
using Pooler.Engine.Protocol;
using Xunit;

namespace Pooler.UnitTests.Auth;

/// <summary>
/// Lets our client side and our server side authenticate each other, message by message.
/// </summary>
internal sealed class Duel(ClientAuthentication gate, ServerAuthentication guest)
{
    /// <summary>May change the n-th message (from 0) on its way to the gate.</summary>
    public Func<int, byte[], byte[]>? ToGate { get; init; }

    /// <summary>May change the n-th message (from 0) on its way to the guest.</summary>
    public Func<int, byte[], byte[]>? ToGuest { get; init; }

    /// <summary>Every body that reached the gate.</summary>
    public List<byte[]> SeenByGate { get; } = [];

    /// <summary>Every body that reached the guest.</summary>
    public List<byte[]> SeenByGuest { get; } = [];

    public async Task<(AuthStep Gate, AuthStep Guest)> Run()
    {
        var output = new MessageWriter();
        var guestStep = guest.Start(new MessageWriter());
        var gateStep = await Settle(gate, gate.Start(output), output);
        while (true)
        {
            if (gateStep == AuthStep.Succeeded) output.AuthenticationOk();
            foreach (var body in Bodies(output, Backend.Authentication))
            {
                if (guestStep != AuthStep.Continue) break;
                var delivered = ToGuest?.Invoke(SeenByGuest.Count, body) ?? body;
                SeenByGuest.Add(delivered);
                guestStep = await Settle(guest, guest.Receive(delivered, output), output);
            }

            if (guestStep != AuthStep.Continue || gateStep != AuthStep.Continue) return (gateStep, guestStep);
            foreach (var body in Bodies(output, Frontend.Password))
            {
                if (gateStep != AuthStep.Continue) break;
                var delivered = ToGate?.Invoke(SeenByGate.Count, body) ?? body;
                SeenByGate.Add(delivered);
                gateStep = await Settle(gate, gate.Receive(delivered, output), output);
            }

            if (output.Length == 0 && gateStep != AuthStep.Succeeded) return (gateStep, guestStep);
        }
    }

    /// <summary>Runs an exchange's computations to their end.</summary>
    public static async Task<AuthStep> Settle(AuthExchange exchange, AuthStep step, MessageWriter output)
    {
        while (step == AuthStep.Working)
        {
            await exchange.Work!;
            step = exchange.Resume(output);
        }

        Assert.Equal(step == AuthStep.Failed, exchange.Error is not null);
        return step;
    }

    /// <summary>Takes the bodies of all messages written, which must be of one type.</summary>
    public static List<byte[]> Bodies(MessageWriter writer, byte type)
    {
        List<byte[]> bodies = [];
        var rest = writer.Written;
        while (!rest.IsEmpty)
        {
            Assert.Equal(type, rest[0]);
            var length = BinaryPrimitives.ReadInt32BigEndian(rest[1..]);
            bodies.Add(rest[5..(length + 1)].ToArray());
            rest = rest[(length + 1)..];
        }

        writer.Clear();
        return bodies;
    }
}
