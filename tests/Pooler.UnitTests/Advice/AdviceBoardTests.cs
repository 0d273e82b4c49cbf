using Pooler.Engine.Advice;
using Xunit;

namespace Pooler.UnitTests.Advice;

public sealed class AdviceBoardTests
{
    private readonly AdviceBoard _board = new();
    private DateTimeOffset _now = Made.Now;

    private static AdviceRule Rule(string name, int looks = 1, string? question = null) =>
        new(name, _ => []) { Sees = "", Matters = "", Remedy = "", Looks = looks, Question = question };

    private static Finding Finding(AdviceLevel level = AdviceLevel.Info, string database = "shop", string subject = "") =>
        new(level, "is the matter", "figures", "do something") { Database = database, User = "app", Subject = subject };

    /// <summary>One look; what has appeared with a plus, what has gone with a minus.</summary>
    private string Look(params AdviceRule[] found)
    {
        _now += Made.Period;
        var (appeared, gone) = _board.Update(found.Select(r => (r, Finding())), _now);
        return string.Join(' ', [.. appeared.Select(i => "+" + i.Rule), .. gone.Select(i => "-" + i.Rule)]);
    }

    [Fact]
    public void A_finding_appears_once_and_goes_after_half_a_minute_without_it()
    {
        var rule = Rule("a");
        Assert.Equal("+a", Look(rule));
        Assert.Equal("", Look(rule));
        for (var i = 0; i < 5; i++) Assert.Equal("", Look());
        Assert.Single(_board.Items);
        Assert.Equal("-a", Look());
        Assert.Empty(_board.Items);
    }

    [Fact]
    public void A_finding_that_comes_and_goes_is_told_once()
    {
        var rule = Rule("a");
        var told = Enumerable.Range(0, 100).Select(i => i % 5 == 0 ? Look(rule) : Look()).Where(t => t.Length > 0);
        Assert.Equal(["+a"], told);
    }

    [Fact]
    public void Some_rules_have_to_find_it_several_times_in_a_row()
    {
        var rule = Rule("a", looks: 2);
        Assert.Equal("", Look(rule));
        Assert.Equal("", Look());
        Assert.Equal("", Look(rule));
        Assert.Equal("+a", Look(rule));
    }

    [Fact]
    public void It_is_known_since_when()
    {
        Look(Rule("a", looks: 2));
        var first = _now;
        Look(Rule("a", looks: 2));
        Assert.Equal(first, Assert.Single(_board.Items).Since);
    }

    [Fact]
    public void Another_answer_takes_the_place_of_the_first_when_it_has_proved_true()
    {
        var (a, b) = (Rule("a", question: "why"), Rule("b", question: "why"));
        Assert.Equal("+a", Look(a));
        Assert.Equal("", Look(b));
        Assert.Equal("", Look(b));
        Assert.Equal("+b -a", Look(b));
        Assert.Equal("", Look(a));
        Assert.Equal("", Look(b));
    }

    [Fact]
    public void While_the_first_answer_holds_there_is_no_second()
    {
        var (a, b) = (Rule("a", question: "why"), Rule("b", question: "why"));
        Look(a);
        for (var i = 0; i < 10; i++) Assert.Equal("", Look(a, b));
    }

    [Fact]
    public void Warnings_come_first()
    {
        _board.Update(
        [
            (Rule("b"), Finding()), (Rule("a"), Finding()), (Rule("z"), Finding(AdviceLevel.Warning, "zoo")), (Rule("z"), Finding(AdviceLevel.Warning, "bar")),
        ], _now);
        Assert.Equal(["warning bar z", "warning zoo z", "info shop a", "info shop b"], _board.Items.Select(i => $"{i.Level} {i.Database} {i.Rule}"));
    }

    [Fact]
    public void Findings_of_one_rule_are_told_apart_by_their_subject()
    {
        _board.Update([(Rule("a"), Finding(subject: "one")), (Rule("a"), Finding(subject: "two"))], _now);
        Assert.Equal(2, _board.Items.Count);
    }
}
