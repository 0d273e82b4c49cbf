using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Pooler.Server.Unix;

namespace Pooler.Server.Logging;

/// <summary>
/// The file that the log is appended to. Opened with O_APPEND, which .NET's own append mode is not: whoever rotates the log
/// by copying and truncating it (logrotate's copytruncate) would be left with a hole as long as the old log.
/// </summary>
internal sealed class LogFile : IDisposable
{
    private const int AppendFlags = 0x80441; // O_WRONLY, O_CREAT, O_APPEND and O_CLOEXEC of Linux
    private const int Mode = 0b110_110_110; // before the umask, as fopen(3) has it

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    private readonly StreamWriter _writer;

    /// <summary>Opens the file, and makes it if it does not exist.</summary>
    /// <exception cref="IOException">It cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">It cannot be opened.</exception>
    public LogFile(string path)
    {
        Path = path;
        _writer = new StreamWriter(Open(path), Utf8);
    }

    public string Path { get; }

    public void Write(string line) => _writer.Write(line);

    public void Flush() => _writer.Flush();

    public void Dispose()
    {
        try
        {
            _writer.Dispose();
        }
        catch (IOException)
        {
            // A full disk: what could not be written is lost either way.
        }
    }

    private static FileStream Open(string path)
    {
        if (!OperatingSystem.IsLinux()) return new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete);
        var descriptor = LibC.Open(path, AppendFlags, Mode);
        if (descriptor < 0) throw new IOException($"Cannot open logfile: '{path}': {Marshal.GetLastPInvokeErrorMessage()}");
        return new FileStream(new SafeFileHandle(descriptor, ownsHandle: true), FileAccess.Write, bufferSize: 0);
    }
}
