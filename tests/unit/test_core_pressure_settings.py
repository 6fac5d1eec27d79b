"""`pressure` and `quiet_hours` in clarion.yaml: what cannot be meant is told at its line."""

import pytest

from core.errors import ConfigError
from tests.conftest import MINIMAL_SETTINGS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pressure: {{caps: {{a: {{most: 0, within: 7d}}}}}}", "pressure.caps.a.most"),
        ("pressure: {{caps: {{a: {{most: 1}}}}}}", "expected exactly one of 'within' and 'each'"),
        (
            "pressure: {{caps: {{a: {{most: 1, within: 7d, each: week}}}}}}",
            "expected exactly one of 'within' and 'each'",
        ),
        ("pressure: {{caps: {{a: {{most: 2, each: week, reserve: 2}}}}}}", "reserve leaves nothing of most"),
        (
            "pressure: {{caps: {{a: {{most: 2, each: day, reserve: 1, topic: news}}}}}}",
            "transactional mail has no topic",
        ),
        ("pressure: {{caps: {{a: {{most: 1, each: day, topic: nwes}}}}}}", "pressure.caps.a: there is no topic 'nwes'"),
        ("pressure: {{when_capped: later}}", "pressure.when_capped"),
        ('quiet_hours: {{from: "21:00"}}', "expected both of 'from' and 'to', or neither"),
        ('quiet_hours: {{from: "21:00", to: "21:00"}}', "'from' and 'to' are the same time"),
        ('quiet_hours: {{from: "25:00", to: "08:00"}}', "a time of day such as '21:00'"),
        ("quiet_hours: {{country: Germany}}", "quiet_hours.country"),
    ],
)
def test_mistakes_in_the_settings_are_told_at_their_line(make_workspace, text, expected):
    """
    What cannot be meant is refused, with its place and what is expected.
    """
    with pytest.raises(ConfigError) as caught:
        _ = make_workspace(settings=MINIMAL_SETTINGS + text + "\n").settings

    assert any(expected in f"{problem}" for problem in caught.value.problems)


def test_unquoted_times_are_read_as_people_mean_them(make_workspace):
    """
    `21:00` without quotes is a time of day, and `24:00` is midnight.
    """
    quiet = make_workspace(settings=MINIMAL_SETTINGS + "quiet_hours: {{from: 21:30, to: 24:00}}\n").settings.quiet_hours

    assert ("21:30", "00:00") == (f"{quiet.start:%H:%M}", f"{quiet.end:%H:%M}")
