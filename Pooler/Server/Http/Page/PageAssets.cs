using System.Security.Cryptography;

namespace Pooler.Server.Http.Page;

/// <summary>A file of the page. Its URL changes with its content, so that browsers may keep it for ever.</summary>
internal sealed class PageAsset
{
    public PageAsset(string name, string contentType)
    {
        using var stream = typeof(PageAsset).Assembly.GetManifestResourceStream("page/" + name)
            ?? throw new InvalidOperationException($"{name} is not part of this build");
        Content = new byte[stream.Length];
        stream.ReadExactly(Content);
        ContentType = contentType;
        Path = $"/page/{name}";
        Version = Convert.ToHexStringLower(SHA256.HashData(Content).AsSpan(0, 8));
        Url = $"{Path}?v={Version}";
    }

    public byte[] Content { get; }

    public string ContentType { get; }

    public string Path { get; }

    public string Version { get; }

    public string Url { get; }
}

/// <summary>The files of the page, part of the program.</summary>
internal static class PageAssets
{
    public static readonly PageAsset Style = new("page.css", "text/css; charset=utf-8");
    public static readonly PageAsset Script = new("page.js", "text/javascript; charset=utf-8");
    public static readonly PageAsset Icon = new("icon.svg", "image/svg+xml");

    public static IReadOnlyList<PageAsset> All => [Style, Script, Icon];
}
