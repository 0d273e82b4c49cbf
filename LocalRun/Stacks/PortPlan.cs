using LocalRun.Manifest;
using LocalRun.Processes;

namespace LocalRun.Stacks;

/// <summary>Decides once, before anything starts, which local port each endpoint of a manifest gets.</summary>
internal sealed class PortPlan
{
    private readonly Dictionary<(string Resource, string Binding), int> _ports = [];

    /// <summary>Plans for all resources that will run.</summary>
    public PortPlan(AspireManifest manifest)
    {
        foreach (var resource in manifest.Resources.Where(resource => resource.Runs))
        {
            foreach (var (name, binding) in resource.Bindings)
                _ports[(resource.Name, name)] = Choose(resource, name, binding);
        }
    }

    /// <summary>The port of a binding.</summary>
    public int this[string resource, string binding] => _ports[(resource, binding)];

    // A free port for every program that is told its port; two stacks on a machine then never meet. A program that the
    // manifest tells nothing listens where the manifest says it does.
    private static int Choose(ManifestResource resource, string name, ManifestBinding binding)
    {
        var reference = $"{{{resource.Name}.bindings.{name}.";
        var isTold = resource.IsContainer
            || binding.TargetPort is null
            || (resource.IsProject && binding.Scheme == "http" && !resource.Environment.ContainsKey("HTTP_PORTS"))
            || resource.Environment.Values.Concat(resource.Arguments).Any(text => text.Contains(reference, StringComparison.Ordinal));
        if (isTold)
            return Ports.Take();
        return Ports.IsFree(binding.TargetPort!.Value)
            ? binding.TargetPort.Value
            : throw new StackException($"Resource '{resource.Name}' listens on port {binding.TargetPort}, which is taken on this machine.");
    }
}
