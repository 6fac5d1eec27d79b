"""Campaign files: what they take, and that what is stored of them is read back."""

import pytest

from campaigns.definition import CampaignFile
from core.yaml_files import Document, build, parse_document
from tests.campaign_files import CAMPAIGN, campaign_file

WHOLE = """\
kind: broadcast
description: Paper, by the box
topic: promotions
audience: {segment: everybody, exclude: [staff]}
send: {template: spring-paper.html, from: offers, subject: Paper, transport: main}
schedule: {at: "2026-12-01T09:00:30", zone: Europe/Berlin}
goal: {event: purchase, within: 1d 12h 5s}
cost: {fixed: 12345678901234.1234, per_message: 0.000123, currency: CHF}
limits: {max_audience: 1000, valid_for: 90m}
"""


def _read(text: str) -> tuple[CampaignFile | None, list[str]]:
    document = parse_document(text, Document("campaigns/a.yaml"))
    return build(CampaignFile, document), [str(problem) for problem in document.problems]


@pytest.mark.parametrize("text", [CAMPAIGN, WHOLE], ids=["small", "whole"])
def test_stored_definition_is_read_back(text: str) -> None:
    """
    The plain values a version keeps make the same definition again.
    """
    definition, problems = _read(text)

    assert [] == problems
    assert definition is not None
    assert definition == CampaignFile.model_validate(definition.stored())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cost": "{fixed: 1e20}"}, "cost.fixed is wrong (got 1e+20, decimal input should have no more than"),
        ({"cost": "{fixed: 0.00001}"}, "cost.fixed is wrong (got 1e-05, decimal input should have no more than 4"),
        ({"cost": "{fixed: -1}"}, "cost.fixed is wrong (got -1, expected at least 0)"),
        ({"cost": "{per_message: 0.0000001}"}, "no more than 6 decimal places"),
        ({"cost": "{fixed: nan}"}, "cost.fixed is wrong (got 'nan'"),
        ({"goal": "{within: 0.5s}"}, "goal.within: got '0.5s', expected a duration in whole seconds"),
        ({"goal": "{within: 99999999999999d}"}, "expected a duration of at most 36525d"),
        ({"schedule": "{at: 0001-01-01T00:00, zone: Asia/Shanghai}"}, "schedule.at: got '0001-01-01T00:00', expected"),
        ({"schedule": "{}"}, "schedule: expected exactly one of 'at' and 'cron'"),
        ({"description": '"a\\0b"'}, "description: the text holds U+0000, which cannot be stored"),
        ({"kind": "recuring"}, "hint: did you mean 'recurring'?"),
    ],
)
def test_campaign_mistake_is_explained(changes: dict[str, str], message: str) -> None:
    """
    What the ledger could not hold or the schedule not reckon with is refused where the file is read.
    """
    definition, problems = _read(campaign_file(**changes))

    assert definition is None
    assert 1 == len(problems)
    assert message in problems[0]
