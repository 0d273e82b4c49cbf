using Pooler.Engine.Configuration;
using Pooler.Engine.Hosts;
using Xunit;

namespace Pooler.UnitTests.Hosts;

/// <summary>libpq's meaning of target_session_attrs.</summary>
public sealed class SessionAttributesTests
{
    [Theory]
    [InlineData(TargetSessionAttrs.Any, true, true, true, true)]
    [InlineData(TargetSessionAttrs.ReadWrite, true, false, false, false)]
    [InlineData(TargetSessionAttrs.ReadOnly, false, true, true, true)]
    [InlineData(TargetSessionAttrs.Primary, true, true, false, false)]
    [InlineData(TargetSessionAttrs.Standby, false, false, true, true)]
    [InlineData(TargetSessionAttrs.PreferStandby, false, false, true, true)]
    public void A_server_that_tells_is_judged_by_its_parameters(
        TargetSessionAttrs wanted, bool primary, bool readOnlyPrimary, bool standby, bool readOnlyStandby)
    {
        bool Suits(string inHotStandby, string readOnly)
        {
            var attributes = default(SessionAttributes);
            attributes.Note("in_hot_standby", inHotStandby);
            attributes.Note("default_transaction_read_only", readOnly);
            attributes.Note("TimeZone", "on");
            Assert.Null(attributes.Question(wanted));
            return attributes.Objection(wanted) is null;
        }

        Assert.Equal((primary, readOnlyPrimary, standby, readOnlyStandby), (Suits("off", "off"), Suits("off", "on"), Suits("on", "off"), Suits("on", "on")));
    }

    [Theory]
    [InlineData(TargetSessionAttrs.ReadWrite, "SHOW transaction_read_only", false)]
    [InlineData(TargetSessionAttrs.ReadOnly, "SHOW transaction_read_only", true)]
    [InlineData(TargetSessionAttrs.Primary, "SELECT pg_catalog.pg_is_in_recovery()", false)]
    [InlineData(TargetSessionAttrs.Standby, "SELECT pg_catalog.pg_is_in_recovery()", true)]
    [InlineData(TargetSessionAttrs.PreferStandby, "SELECT pg_catalog.pg_is_in_recovery()", true)]
    public void An_older_server_is_asked(TargetSessionAttrs wanted, string question, bool good)
    {
        foreach (var answer in new[] { true, false })
        {
            var attributes = default(SessionAttributes);
            Assert.Equal(question, attributes.Question(wanted));
            attributes.NoteAnswer(wanted, answer);
            Assert.Null(attributes.Question(wanted));
            Assert.Equal(answer == good, attributes.Objection(wanted) is null);
        }
    }
}
