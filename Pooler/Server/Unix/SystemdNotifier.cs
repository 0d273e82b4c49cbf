using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Pooler.Server.Unix;

/// <summary>
/// Tells the service manager about state changes, by the protocol of sd_notify(3): datagrams of NAME=value lines to the
/// Unix socket that NOTIFY_SOCKET names. Without that variable it does nothing.
/// </summary>
internal sealed class SystemdNotifier(string? socketName)
{
    public static SystemdNotifier FromEnvironment() => new(Environment.GetEnvironmentVariable("NOTIFY_SOCKET"));

    public void Ready(string status) => Send($"READY=1\nSTATUS={status}");

    /// <summary>Followed by <see cref="Ready"/>; units of type notify-reload need the time (CLOCK_MONOTONIC, microseconds).</summary>
    public void Reloading() =>
        Send(string.Create(CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={Stopwatch.GetTimestamp() / (Stopwatch.Frequency / 1_000_000)}\nSTATUS=Reloading"));

    public void Stopping(string status) => Send($"STOPPING=1\nSTATUS={status}");

    /// <summary>Another process is the service's main one from now on; to be told by the one before.</summary>
    public void MainProcess(int process) => Send(string.Create(CultureInfo.InvariantCulture, $"MAINPID={process}"));

    public void Status(string status) => Send($"STATUS={status}");

    /// <summary>
    /// Tells a watchdog, if the unit has one (WatchdogSec=), twice a period that all is well, as long as it is.
    /// </summary>
    /// <param name="pulse">Ends when the process has shown that it works.</param>
    /// <returns>Ends it; null when there is none.</returns>
    public IDisposable? StartWatchdog(Func<Task> pulse)
    {
        if (Environment.GetEnvironmentVariable("WATCHDOG_PID") is { Length: > 0 } process && process != Environment.ProcessId.ToString(CultureInfo.InvariantCulture)) return null;
        if (!long.TryParse(Environment.GetEnvironmentVariable("WATCHDOG_USEC"), NumberStyles.None, CultureInfo.InvariantCulture, out var microseconds) || microseconds == 0) return null;
        var period = TimeSpan.FromMicroseconds(microseconds / 2.0);
        return new Timer(_ => pulse().ContinueWith(_ => Send("WATCHDOG=1"), TaskScheduler.Default), null, period, period);
    }

    private void Send(string message)
    {
        if (string.IsNullOrEmpty(socketName)) return;

        // A leading @ stands for the zero byte of an abstract name.
        var path = socketName[0] == '@' ? "\0" + socketName[1..] : socketName;
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            socket.SendTo(Encoding.UTF8.GetBytes(message), new UnixDomainSocketEndPoint(path));
        }
        catch (Exception e) when (e is SocketException or ArgumentException or PlatformNotSupportedException)
        {
            // As sd_notify's callers do: a service manager that does not listen is no reason to fail.
        }
    }
}
