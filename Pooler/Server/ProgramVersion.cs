using Pooler.Engine;

namespace Pooler.Server;

/// <summary>The version of this build.</summary>
internal static class ProgramVersion
{
    /// <summary>As <c>--version</c> prints it first, and SHOW VERSION: scripts compare the two.</summary>
    public static string Text => PoolerEngine.Version;
}
