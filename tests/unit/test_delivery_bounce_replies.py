"""The SMTP replies quoted in real bounces, classed; people who collected them say which failed for good."""

import csv
import re
from pathlib import Path

import pytest

from delivery.bounce_classes import BounceClass, bounce_class
from delivery.smtp import OutcomeState
from delivery.smtp.replies import Reply
from delivery.smtp.steps import Step

FOLDER = Path(__file__).parents[3] / "shared/data/bounces"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the data sets are not beside the repository"),
]

#: A reply where bounces quote one: at the beginning of a line or behind words like "said:", with its further lines.
QUOTED = re.compile(
    r"(?:^|said:|Returned:|SMTP;|smtp;|replied:|>>>|\]:|SMTP:RCPT host [\d.]+:|\d\)?:)\s*"
    r"([45]\d\d)[ -]([^\n]*(?:\n[ \t]+[^\n]+|\n[45]\d\d[ -][^\n]*)*)",
    re.MULTILINE,
)
HARD, FULL = BounceClass.HARD, BounceClass.MAILBOX_FULL
EXPECTED = {
    "dsn_10.txt": HARD, "dsn_11.txt": HARD, "dsn_14.txt": HARD, "exim_01.txt": HARD, "postfix_01.txt": HARD,
    "qmail_04.txt": HARD, "qmail_05.txt": HARD, "simple_08.txt": HARD, "simple_15.txt": HARD, "simple_30.txt": HARD,
    "simple_33.txt": HARD, "simple_34.txt": HARD, "simple_36.txt": HARD, "simple_41.txt": HARD, "smtp32_04.txt": HARD,
    "smtp32_06.txt": HARD, "yahoo_11.txt": HARD,
    "simple_01.txt": FULL, "simple_14.txt": FULL, "simple_45.txt": FULL,
    "postfix_05.txt": BounceClass.SOFT, "sendmail_01.txt": BounceClass.MESSAGE_FAULT,
    "simple_42.txt": BounceClass.BLOCK,
}  # fmt: skip


def quoted_classes(path: Path) -> set[BounceClass | None]:
    """The classes of the replies quoted in one bounce."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return {_class_of(int(code), re.sub(r"\s+", " ", words)) for code, words in QUOTED.findall(text)}


def _class_of(code: int, words: str) -> BounceClass | None:
    state = OutcomeState.FAILED if code >= 500 else OutcomeState.DEFERRED
    return bounce_class(Reply(code, (words.encode(),)).outcome(state, Step.RECIPIENT))


@pytest.mark.parametrize("name", EXPECTED)
def test_reply_of_a_real_bounce_has_its_class(name: str) -> None:
    """
    User unknown, mailbox full, a loop and a blocked sender are told apart in the words of servers of the wild.
    """
    assert {EXPECTED[name]} == quoted_classes(FOLDER / name)


def test_every_quoted_reply_is_judged() -> None:
    """
    No bounce that quotes a reply is missing above, and only addresses that failed for good are classed hard.
    """
    with (FOLDER / "expected.csv").open(encoding="utf-8") as file:
        permanent = {row["file"] for row in csv.DictReader(file) if row["permanent"]}

    found = {path.name: classes for path in FOLDER.glob("*.txt") if (classes := quoted_classes(path))}

    assert set(EXPECTED) == set(found)
    assert {name for name, classes in found.items() if HARD in classes} <= permanent
