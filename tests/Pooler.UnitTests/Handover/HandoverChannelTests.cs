using System.Net.Sockets;
using System.Text;
using Pooler.Engine.Handover;
using Pooler.Engine.Loops;
using Xunit;

namespace Pooler.UnitTests.Handover;

public sealed class HandoverChannelTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly string _path = Path.Combine(Path.GetTempPath(), $"handover-{Guid.NewGuid():N}");
    private readonly HandoverChannel _one;
    private readonly Socket _raw;
    private readonly HandoverChannel _other;

    public HandoverChannelTests()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "descriptors are passed on Linux only");
        using var listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(_path));
        listening.Listen();
        _raw = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _raw.Connect(new UnixDomainSocketEndPoint(_path));
        using var accepted = listening.Accept();
        _one = Duplicate(_raw);
        _other = Duplicate(accepted);
    }

    public void Dispose()
    {
        _one.Dispose();
        _other.Dispose();
        _raw.Dispose();
        File.Delete(_path);
    }

    [Fact]
    public void A_frame_arrives_with_its_descriptors()
    {
        using var left = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        using var right = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        _one.Send(FrameKind.Pair, Encoding.UTF8.GetBytes("both"), Limit, Number(left), Number(right));
        _one.Send(FrameKind.Commit, Limit);

        var frame = _other.Receive(Limit)!;
        Assert.Equal((FrameKind.Pair, "both", 2), (frame.Kind, Encoding.UTF8.GetString(frame.Body), frame.Descriptors.Length));
        Assert.DoesNotContain(Number(left), frame.Descriptors);
        foreach (var descriptor in frame.Descriptors) Assert.Equal(0, Libc.close(descriptor));
        Assert.Empty(_other.Expect(FrameKind.Commit, Limit).Body);
    }

    [Fact]
    public async Task A_body_of_any_length_arrives_whole()
    {
        var body = new byte[5_000_001];
        new Random(2).NextBytes(body);
        var sending = Task.Run(() => _one.Send(FrameKind.Statement, body, Limit), TestContext.Current.CancellationToken);
        Assert.Equal(body, _other.Receive(Limit)!.Body);
        await sending;
    }

    [Fact]
    public void The_end_between_two_frames_is_an_end_and_in_one_it_is_an_error()
    {
        _raw.Send([0x50, 0x48, 1, 0, 9]);
        _raw.Shutdown(SocketShutdown.Both);
        Assert.Throws<HandoverException>(() => _other.Receive(Limit));
    }

    [Fact]
    public void Nothing_more_is_an_end()
    {
        _raw.Shutdown(SocketShutdown.Both);
        Assert.Null(_other.Receive(Limit));
    }

    [Theory]
    [InlineData(new byte[] { 0x51, 0x48, 1, 0, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 0x50, 0x48, 99, 0, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 0x50, 0x48, 1, 0, 0, 0, 0, 0x80 })]
    [InlineData(new byte[] { 0x50, 0x48, 1, 0, 1, 0, 0, 4 })]
    public void What_is_no_frame_is_refused(byte[] header)
    {
        _raw.Send(header);
        Assert.Throws<HandoverException>(() => _other.Receive(Limit));
    }

    [Fact]
    public void Another_frame_than_the_expected_one_is_refused()
    {
        _one.Send(FrameKind.Begin, Limit);
        Assert.Contains("Begin where Commit", Assert.Throws<HandoverException>(() => _other.Expect(FrameKind.Commit, Limit)).Message);
    }

    [Fact]
    public void Silence_ends_the_wait() => Assert.Throws<HandoverException>(() => _other.Receive(TimeSpan.FromMilliseconds(20)));

    [Fact]
    public void Cancel_requests_for_a_process_that_has_stopped_keep_nobody_waiting()
    {
        using var passage = new CancelPassage(_one, TimeSpan.FromHours(1));
        var key = new byte[8];
        var passed = 0;
        // The socket takes some, then the queue; what is beyond is refused. Were it waited for, this would not end.
        while (passed < 1_000_000 && passage.TryPass(key, Number(_raw))) passed++;
        Assert.InRange(passed, 1, 999_999);

        // It goes on: nothing that was taken is lost.
        for (; passed > 0; passed--)
            foreach (var descriptor in _other.Expect(FrameKind.Cancel, Limit).Descriptors) Libc.close(descriptor);
    }

    private static HandoverChannel Duplicate(Socket socket) => new(Libc.Duplicate(Number(socket)));

    private static int Number(Socket socket) => (int)socket.SafeHandle.DangerousGetHandle();
}
