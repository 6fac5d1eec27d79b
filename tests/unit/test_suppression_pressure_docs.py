"""The page about caps and quiet hours says what the settings and campaign files take."""

import re
from pathlib import Path

import pytest
import yaml

from campaigns.definition import CampaignFile, Limits
from core.pressure_settings import Cap, Pressure, QuietHours

PAGE = (Path(__file__).parents[2] / "docs/pressure.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]


def test_examples_can_be_read() -> None:
    """
    The settings and the campaign's limits on the page are valid, and name every key of a cap.
    """
    settings, campaign = BLOCKS
    caps = Pressure.model_validate(settings["pressure"]).caps
    quiet = QuietHours.model_validate(settings["quiet_hours"])
    limits = Limits.model_validate(campaign["limits"])

    assert 4 == len(caps)
    assert quiet.start is not None
    assert 10 == limits.priority
    assert all(f"`{key}`" in PAGE for key in Cap.model_fields)


def test_a_transactional_campaign_takes_neither_priority_nor_deferral() -> None:
    """
    What is owed to one person is never held: keys that say how are mistakes.
    """
    file = {"kind": "transactional", "send": {"template": "a.html", "from": "offers"}}
    for limits in ({"priority": 1}, {"when_capped": "drop"}):
        with pytest.raises(ValueError, match=f"limits.{next(iter(limits))}"):
            CampaignFile.model_validate(file | {"limits": limits})
