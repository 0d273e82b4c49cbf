using Pooler.Engine.Advice;
using Testing;
using Xunit;

namespace Pooler.UnitTests.Advice;

public sealed class AdviceReferenceTests
{
    [Fact]
    public void The_documentation_has_every_rule_as_it_is() => Assert.True(
        File.ReadAllText(Path.Combine(Repository.Root, "docs", "advice.md")).ReplaceLineEndings("\n") == AdviceReference.Markdown(),
        "docs/advice.md is stale: dotnet run --project Pooler/Server -- --print-advice > docs/advice.md");

    [Fact]
    public void Rules_have_names_of_their_own() =>
        Assert.Equal(AdviceRules.All.Count, AdviceRules.All.Select(r => r.Name).Distinct().Count());
}
