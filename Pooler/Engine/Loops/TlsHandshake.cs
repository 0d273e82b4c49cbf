using System.Net.Security;

namespace Pooler.Engine.Loops;

/// <summary>What one side of a connection presents, demands and checks when TLS is begun on it.</summary>
/// <remarks>One object per connection. The loops know when to run it and on which thread, not what it wants.</remarks>
public abstract class TlsHandshake
{
    /// <summary>
    /// Agrees with the peer. Runs on the thread pool, as all that follows up to its end: asymmetric cryptography and
    /// chain building take milliseconds.
    /// </summary>
    /// <returns>What was agreed on.</returns>
    /// <exception cref="System.Security.Authentication.AuthenticationException">No agreement, or not with this peer.</exception>
    /// <exception cref="IOException">The peer left, or does not speak TLS.</exception>
    public abstract Task<TlsInfo> RunAsync(SslStream stream);
}
