using System.Net.Sockets;
using Pooler.Engine.Loops;
using Xunit;

namespace Pooler.UnitTests.Loops;

/// <summary>Runs without other tests beside it, because it counts the descriptors of the process.</summary>
[CollectionDefinition(nameof(ChurnTests), DisableParallelization = true)]
public sealed class ChurnCollection;

/// <summary>Many connections, ended by either side at any moment.</summary>
[Collection(nameof(ChurnTests))]
public sealed class ChurnTests
{
    private const int Connections = 3_000;

    public static TheoryData<LoopBackend> Backends => ConnectionTests.Backends;

    [Theory, MemberData(nameof(Backends))]
    public void Connections_closed_at_any_moment_leave_nothing_behind(LoopBackend backend)
    {
        var descriptorsBefore = CountDescriptors();
        var openHandlers = 0;
        var violations = new List<string>();
        using (var harness = new LoopHarness(backend, loops: 3))
        {
            harness.Listen(connection =>
            {
                var random = new Random(Random.Shared.Next());
                Interlocked.Increment(ref openHandlers);
                var ended = false;
                var handler = new TestHandler();
                handler.Readable = (asked, readiness) =>
                {
                    if (random.Next(8) == 0)
                    {
                        End(asked);
                        return random.Next(2) == 0 ? ReadAnswer.Read : ReadAnswer.Pause;
                    }

                    return random.Next(8) switch
                    {
                        0 => ReadAnswer.Close,
                        1 => PauseAWhile(asked),
                        _ => ReadAnswer.Read,
                    };
                };
                handler.Received = (receiving, data) =>
                {
                    if (ended)
                        Violate("received after closing");
                    receiving.Send(data);
                    switch (random.Next(8))
                    {
                        case 0:
                            End(receiving);
                            return random.Next(data.Length + 1);
                        case 1:
                            PauseAWhile(receiving);
                            receiving.PauseReading();
                            return random.Next(data.Length + 1);
                        default:
                            return data.Length;
                    }
                };
                handler.Closed = _ =>
                {
                    if (ended)
                        Violate("OnClosed after closing");
                    ended = true;
                    Interlocked.Decrement(ref openHandlers);
                };
                return handler;

                ReadAnswer PauseAWhile(Connection paused)
                {
                    paused.Loop.Schedule(random.Next(2_000), _ => paused.ResumeReading(), null);
                    return ReadAnswer.Pause;
                }

                void End(Connection ending)
                {
                    ended = true;
                    Interlocked.Decrement(ref openHandlers);
                    if (random.Next(2) == 0)
                        ending.Close();
                    else
                        ending.CloseAfterSend();
                }
            });

            Parallel.For(0, Connections, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i => ActAsPeer(harness, i));
            LoopHarness.Until(() => Volatile.Read(ref openHandlers) <= 0, "all connections ended");
            Assert.Equal(0, openHandlers);
            LoopHarness.Until(() => harness.Group.Loops.All(loop => ((LoopThread)loop).AcceptedConnections == 0), "the loops' counts at 0");
            Assert.Empty(violations);

            // The loops are alive and well.
            foreach (var loop in harness.Group.Loops)
                LoopHarness.Settle(loop);
            LoopHarness.Until(() => CountDescriptors() < descriptorsBefore + 60, "the descriptors are closed, but for the loops' own");
        }

        LoopHarness.Until(() => CountDescriptors() <= descriptorsBefore + 20, $"back to {descriptorsBefore} descriptors");

        void Violate(string what)
        {
            lock (violations)
                violations.Add(what);
        }
    }

    private static void ActAsPeer(LoopHarness harness, int seed)
    {
        var random = new Random(seed);
        using var peer = new Socket(harness.EndPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        peer.ReceiveTimeout = peer.SendTimeout = (int)LoopHarness.Deadline.TotalMilliseconds;
        peer.Connect(harness.EndPoint);
        var buffer = new byte[random.Next(4) == 0 ? 60_000 : 500];
        try
        {
            for (var i = random.Next(6); i > 0; i--)
            {
                peer.Send(buffer, random.Next(1, buffer.Length), SocketFlags.None);
                if (random.Next(3) == 0)
                    peer.Receive(new byte[random.Next(1, 1_000)]);
            }

            switch (random.Next(4))
            {
                case 0:
                    peer.LingerState = new LingerOption(true, 0);
                    break;
                case 1:
                    peer.Shutdown(SocketShutdown.Send);
                    while (peer.Receive(buffer) > 0)
                    {
                    }

                    break;
            }
        }
        catch (SocketException)
        {
            // The other side was faster.
        }
    }

    private static int CountDescriptors() =>
        OperatingSystem.IsLinux() ? Directory.GetFiles("/proc/self/fd").Length : 0;
}
