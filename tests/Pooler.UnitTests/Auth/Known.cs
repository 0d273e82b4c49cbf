namespace Pooler.UnitTests.Auth;

/// <summary>Secrets computed with Python's hashlib, independently of the code under test.</summary>
internal static class Known
{
    public const string User = "alice";
    public const string Password = "geheim";

    /// <summary>md5(password + user).</summary>
    public const string Md5 = "md57e35a1551e6b2d7e24dc4cff2eae3ed0";

    /// <summary>Salt "0123456789abcdef", 100 iterations.</summary>
    public const string Scram = "SCRAM-SHA-256$100:MDEyMzQ1Njc4OWFiY2RlZg==$4tcRmldE6BZmUS9RF4Ip19qMXEFX0FkahCYRvytIRQY=:3tYKfExMWqMOpdIaT27D/UDS1tuV+NXYkg1LpL+ewI0=";
}
