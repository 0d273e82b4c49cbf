namespace LocalRun.Manifest;

/// <summary>
/// Takes the pool out of a topology: who used the database <c>NAME-pooled</c> uses <c>NAME</c>, and the pooler is not
/// started. The manifest was published with the pool, so the runner does what the AppHost's switch UsePooler=false does.
/// </summary>
internal static class DirectWiring
{
    private const string Suffix = "-pooled";

    /// <summary>The name of the pooler resource, or null when there is none.</summary>
    public static string? PoolerOf(AspireManifest manifest) =>
        Pooled(manifest).Select(pair => Server(pair.Pooled, manifest)).FirstOrDefault(name => name is not null);

    /// <summary>The manifest without its pooler.</summary>
    public static AspireManifest Apply(AspireManifest manifest)
    {
        var renames = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (pooled, direct) in Pooled(manifest))
        {
            renames[pooled.Name] = direct.Name;
            if (Server(pooled, manifest) is { } pooler && Server(direct, manifest) is { } server && pooler != server)
                renames[pooler] = server;
        }

        if (renames.Count == 0)
            throw new ManifestException($"The manifest has no database NAME{Suffix} next to a database NAME, so there is no pool to leave out.");

        string Rewire(string text) => Expression.Replace(
            text, "",
            reference =>
            {
                var words = reference.Split('.', 2);
                return $"{{{renames.GetValueOrDefault(words[0], words[0])}{(words.Length > 1 ? "." + words[1] : "")}}}";
            },
            keepEscapes: true);

        // The address of the pooler's web page, say, has no counterpart at the server.
        bool Remains(string reference) =>
            reference.Split('.') is not [var name, "bindings", var binding, ..]
            || !renames.TryGetValue(name, out var target)
            || manifest.Find(target)!.Bindings.ContainsKey(binding);

        return new AspireManifest(manifest.Directory,
        [
            .. manifest.Resources
                .Where(resource => !renames.ContainsKey(resource.Name))
                .Select(resource => resource with
                {
                    ConnectionString = resource.ConnectionString is { } text ? Rewire(text) : null,
                    Arguments = [.. resource.Arguments.Select(Rewire)],
                    Environment = resource.Environment
                        .Where(variable => Expression.References(variable.Value).All(Remains))
                        .ToDictionary(variable => variable.Key, variable => Rewire(variable.Value)),
                }),
        ]);
    }

    private static IEnumerable<(ManifestResource Pooled, ManifestResource Direct)> Pooled(AspireManifest manifest) =>
        from resource in manifest.Resources
        where resource.Type == "value.v0" && resource.Name.EndsWith(Suffix, StringComparison.Ordinal)
        let direct = manifest.Find(resource.Name[..^Suffix.Length])
        where direct is not null
        select (resource, direct);

    // The resource whose host and port the database's connection string has.
    private static string? Server(ManifestResource database, AspireManifest manifest) =>
        StartOrder.DependenciesOf(database, manifest).FirstOrDefault();
}
