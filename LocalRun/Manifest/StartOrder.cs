namespace LocalRun.Manifest;

/// <summary>One step of a start: a resource, and what has to be healthy before it.</summary>
/// <param name="Resource">What to start.</param>
/// <param name="After">The names of resources to wait for.</param>
internal sealed record StartStep(ManifestResource Resource, IReadOnlyList<string> After);

/// <summary>Derives from the references between resources which of them has to be up first.</summary>
internal static class StartOrder
{
    /// <summary>
    /// The resources that become processes, dependencies first, otherwise in the manifest's order. Two services may
    /// know each other's address; then the one that stands first in the manifest does not wait for the other.
    /// </summary>
    public static IReadOnlyList<StartStep> Of(AspireManifest manifest)
    {
        var waiting = manifest.Resources.Where(resource => resource.Runs).ToList();
        var dependencies = waiting.ToDictionary(resource => resource.Name, resource => DependenciesOf(resource, manifest));
        var order = new List<StartStep>();
        var started = new HashSet<string>(StringComparer.Ordinal);
        while (waiting.Count > 0)
        {
            var next = waiting.Find(resource => dependencies[resource.Name].IsSubsetOf(started)) ?? waiting[0];
            waiting.Remove(next);
            order.Add(new StartStep(next, [.. dependencies[next.Name].Where(started.Contains)]));
            started.Add(next.Name);
        }

        return order;
    }

    /// <summary>The running resources that a resource refers to, directly or by way of values and parameters.</summary>
    public static HashSet<string> DependenciesOf(ManifestResource resource, AspireManifest manifest)
    {
        var found = new HashSet<string>(StringComparer.Ordinal);
        var seen = new HashSet<string>(StringComparer.Ordinal) { resource.Name };
        var open = new Queue<ManifestResource>([resource]);
        while (open.TryDequeue(out var current))
        {
            foreach (var name in current.Expressions.SelectMany(Expression.References).Select(Expression.ResourceOf))
            {
                var target = manifest.Find(name)
                    ?? throw new ManifestException($"Resource '{current.Name}' refers to '{name}', which is not in the manifest.");
                if (!seen.Add(name))
                    continue;
                if (target.Runs)
                    found.Add(name);
                else
                    open.Enqueue(target);
            }
        }

        return found;
    }
}
