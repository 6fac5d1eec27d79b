"""What the pages about roll-outs, refusals and reconciling show is what the program takes and does."""

import re
from pathlib import Path

import pytest
import yaml

from campaigns.outcome_files import Outcome, read_outcomes
from campaigns.rollout_file import Rollout, heads
from core.refusal_settings import Refusals
from core.settings import Sender
from delivery.bounce_classes import BounceClass

DOCS = Path(__file__).parents[2] / "docs"


def _page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def _yaml(page, key):
    """The value of the one example of `page` that has the key."""
    blocks = re.findall(r"```yaml\n(.*?)```", _page(page), re.DOTALL)
    (found,) = [block for block in map(yaml.safe_load, blocks) if key in block]
    return found[key]


def test_the_roll_out_page_shows_the_defaults():
    """
    Its example is a roll-out, and says what is so where nothing is said; the heads of its plan are those of its stages.
    """
    shown = Rollout.model_validate(_yaml("rollout.md", "rollout"))

    assert Rollout(stages=shown.stages) == shown
    assert [100, 900, 9000] == list(heads(shown.stages, 10_000))
    told = re.findall(r"stage \d of 3 +([\d,]+)", _page("rollout.md"))
    assert ["100", "900", "9,000"] == told


def test_the_refusals_page_shows_the_defaults():
    """
    Its settings are what is so without them, and its table knows every class.
    """
    assert Refusals() == Refusals.model_validate(_yaml("refusals.md", "refusals"))
    assert set(BounceClass) == set(re.findall(r"^\| `(\w+)` \|", _page("refusals.md"), re.MULTILINE))
    assert "bounces.paper.example" == Sender.model_validate(_yaml("refusals.md", "senders")["offers"]).return_path


def test_the_reconcile_page_shows_a_file_that_is_read(tmp_path):
    """
    Its example of a file of outcomes has no bad row, and its table names every outcome.
    """
    (shown,) = re.findall(r"```csv\n(.*?)```", _page("reconcile.md"), re.DOTALL)
    path = tmp_path / "outcomes.csv"
    path.write_text(shown)
    outcomes = read_outcomes(path)

    assert ([], {Outcome.DELIVERED, Outcome.NEVER_RECEIVED}) == (outcomes.rejected, set(outcomes.found.values()))
    table = _page("reconcile.md").partition("| outcome |")[2].partition("\n\n")[0]
    assert set(Outcome) == set(re.findall(r"`(\w+)`", table)) & set(Outcome)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"message-id,outcome\n\n<a@x>,delivered\nnonsense,accepted\n", 4, "not a Message-ID"),
        (b"message-id,outcome\n<a@x>,delivered\n<b@x>\n", 3, "too few columns (got 1, expected 2 or more)"),
        (b"\n\nmessage-id,outcome\n<a@x>,delivered\n<b@x>,\xff\n", 5, "unknown outcome"),
        (b"message-id,outcome\n<a@x>,delivered\n<b@x>,deliverd\n", 3, "did you mean 'delivered'?"),
        (b'message-id,outcome\n<a@x>,delivered\n"' + b"x" * 20_000 + b'",accepted\n', 3, "not readable as CSV"),
    ],
)
def test_each_bad_row_is_told_with_its_line(tmp_path, content, line, reason):
    """
    A row that says nothing is told; the others count.
    """
    path = tmp_path / "outcomes.csv"
    path.write_bytes(content)
    outcomes = read_outcomes(path)
    (rejected,) = outcomes.rejected

    assert line == rejected.line
    assert reason in rejected.reason
    assert {"a@x": Outcome.DELIVERED} == outcomes.found
