using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Pooler.Engine.Loops;
using Xunit;

namespace Pooler.UnitTests.Loops;

/// <summary>Accepting clients.</summary>
public sealed class ListenerTests
{
    public static TheoryData<LoopBackend> Backends => ConnectionTests.Backends;

    [Theory, MemberData(nameof(Backends))]
    public void Clients_are_spread_evenly_and_those_that_leave_make_room(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend, loops: 4);
        var counts = new int[4];
        harness.Listen(connection =>
        {
            Assert.True(connection.Loop.IsCurrent);
            Interlocked.Increment(ref counts[connection.Loop.Index]);
            return new TestHandler { Closed = closed => Interlocked.Decrement(ref counts[closed.Loop.Index]) };
        });
        var peers = Enumerable.Range(0, 40).Select(_ => harness.ConnectPeer()).ToList();
        LoopHarness.Until(() => counts.Sum() == 40, "40 clients");
        Assert.All(counts, count => Assert.Equal(10, count));

        foreach (var peer in peers[..20])
            peer.Close();
        LoopHarness.Until(() => counts.Sum() == 20, "20 clients left");
        for (var i = 0; i < 20; i++)
            harness.ConnectPeer();
        LoopHarness.Until(() => counts.Sum() == 40, "40 clients again");
        Assert.All(counts, count => Assert.Equal(10, count));
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_client_that_is_given_no_handler_is_closed(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        harness.Listen(_ => null);
        Assert.Equal(0, harness.ConnectPeer().Receive(new byte[1]));
    }

    [Theory, MemberData(nameof(Backends))]
    public void A_client_can_be_refused_with_a_message(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        harness.Listen(connection =>
        {
            connection.Send("no more connections allowed"u8);
            connection.CloseAfterSend();
            return new TestHandler();
        });
        var peer = harness.ConnectPeer();
        peer.Send(new byte[100]);
        Assert.Equal("no more connections allowed"u8, LoopHarness.ReceiveAll(peer));
    }

    [Theory, MemberData(nameof(Backends))]
    public void Several_addresses_listen_at_once_until_the_listener_closes(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        var accepted = 0;
        using var listener = new Listener(
            harness.Group,
            _ =>
            {
                Interlocked.Increment(ref accepted);
                return new TestHandler();
            },
            NullLogger<Listener>.Instance);
        var options = new ListenOptions { DeferAccept = 0, Accepted = new SocketOptions { KeepAlive = true, KeepIdle = 30 } };
        var first = listener.Listen(new IPEndPoint(IPAddress.Loopback, 0), options);
        var second = listener.Listen(new IPEndPoint(IPAddress.Loopback, 0), options);
        Assert.NotEqual(0, ((IPEndPoint)first).Port);
        listener.Start();

        using (var one = Connect(first))
        using (var two = Connect(second))
            LoopHarness.Until(() => Volatile.Read(ref accepted) == 2, "both clients");

        listener.Close();
        Assert.Equal(SocketError.ConnectionRefused, Assert.Throws<SocketException>(() => Connect(first)).SocketErrorCode);
        listener.Close();
    }

    [Theory, MemberData(nameof(Backends))]
    public void With_deferred_accept_a_client_is_announced_once_it_has_sent(LoopBackend backend)
    {
        using var harness = new LoopHarness(backend);
        harness.Listen(
            _ => new TestHandler
            {
                Received = (connection, data) =>
                {
                    connection.Send(data);
                    return data.Length;
                },
            },
            options: new ListenOptions { DeferAccept = 45 });
        var peer = harness.ConnectPeer();
        peer.Send([9]);
        Assert.Equal([9], LoopHarness.ReceiveExactly(peer, 1));
    }

    [Theory, MemberData(nameof(Backends))]
    public async Task A_Unix_socket_has_its_mode_replaces_a_stale_file_and_is_removed_at_the_end(LoopBackend backend)
    {
        if (OperatingSystem.IsWindows())
            Assert.Skip("File modes are not Windows'.");
        var directory = Directory.CreateTempSubdirectory("pooler-loops-");
        try
        {
            var path = Path.Combine(directory.FullName, ".s.PGSQL.6432");
            using (var stale = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
            {
                stale.Bind(new UnixDomainSocketEndPoint(path));
                stale.Listen();
            }

            // .NET removes the file of a socket it closes; a killed process doesn't.
            if (!File.Exists(path))
                LeaveStale(path);

            const UnixFileMode Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite;
            using (var harness = new LoopHarness(backend))
            {
                var remote = new TaskCompletionSource<(EndPoint?, EndPoint?)>(TaskCreationOptions.RunContinuationsAsynchronously);
                harness.Listen(
                    connection =>
                    {
                        remote.TrySetResult((connection.RemoteEndPoint, connection.LocalEndPoint));
                        return new TestHandler
                        {
                            Received = (connection, data) =>
                            {
                                connection.Send(data);
                                return data.Length;
                            },
                        };
                    },
                    new UnixDomainSocketEndPoint(path),
                    new ListenOptions { UnixMode = Mode });
                Assert.Equal(Mode, new FileInfo(path).UnixFileMode);

                var peer = harness.ConnectPeer();
                var sent = LoopHarness.Pattern(100_000);
                peer.Send(sent);
                Assert.Equal(sent, LoopHarness.ReceiveExactly(peer, sent.Length));
                var (remoteEnd, localEnd) = await remote.Task.WaitAsync(LoopHarness.Deadline, TestContext.Current.CancellationToken);
                Assert.IsType<UnixDomainSocketEndPoint>(remoteEnd);
                Assert.Equal(path, localEnd!.ToString());

                // A living owner keeps it.
                using var second = new Listener(harness.Group, _ => null, NullLogger<Listener>.Instance);
                Assert.Throws<SocketException>(() => second.Listen(new UnixDomainSocketEndPoint(path), new ListenOptions()));
                Assert.True(File.Exists(path));

                // The loop connects to Unix sockets as well.
                var handler = new TestHandler();
                LoopHarness.On(harness.Loop, () => harness.Loop.Connect(harness.EndPoint, SocketOptions.Default, handler));
                LoopHarness.Until(() => handler.ConnectedCalls == 1, "OnConnected");
            }

            Assert.False(File.Exists(path));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private static Socket Connect(EndPoint endPoint)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Connect(endPoint);
            return socket;
        }
        catch (SocketException)
        {
            socket.Dispose();
            throw;
        }
    }

    private static void LeaveStale(string path)
    {
        var elsewhere = path + ".bound";
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(elsewhere));
        File.Move(elsewhere, path);
    }
}
