using System.Text;

namespace Pooler.Engine.Auth.Hba;

/// <summary>The files behind access rules.</summary>
internal static class HbaText
{
    // Hundred thousands of rules; beyond it, it's the wrong file.
    private const int MaxLength = 16 * 1024 * 1024;

    /// <summary>Reads a file; null when it can't be read. Blocks.</summary>
    public static string? Read(string path, out string error)
    {
        error = "";
        try
        {
            if (path.Length == 0) error = "no file is named";
            else if (new FileInfo(path) is { Exists: true, Length: > MaxLength }) error = "it is too long";
            else return File.ReadAllText(path, Encoding.UTF8);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            error = e.Message;
        }

        return null;
    }

    /// <summary>A name in a file means one beside that file.</summary>
    public static string Resolve(string includingFile, string name) => Path.Combine(Path.GetDirectoryName(includingFile) ?? "", name);

    /// <summary>The files that include_dir takes: <c>*.conf</c> without hidden ones, by name.</summary>
    /// <exception cref="HbaException">The directory can't be read.</exception>
    public static string[] FilesOf(string directory)
    {
        try
        {
            return [.. Directory.GetFiles(directory, "*.conf").Where(f => !Path.GetFileName(f).StartsWith('.')).Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new HbaException($"could not open {directory}: {e.Message}");
        }
    }
}
