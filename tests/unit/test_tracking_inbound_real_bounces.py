"""Real bounce mails of many servers: whom each is about, and what it says."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from tracking.feedback import BOUNCES, FeedbackKind
from tracking.inbound.reading import read

FOLDER = Path(__file__).parents[3] / "shared/data/bounces"
_K = FeedbackKind
#: What the files say which name no cause that passes or is not the person's: read by hand, one by one.
FULL = (
    "dsn_01 dsn_04 hotpop_01 newmailru_01 postfix_04 qmail_02 qmail_06 qmail_07 simple_01 simple_07 simple_09 simple_14"
    " simple_38 simple_45 yahoo_02 yahoo_04"
)
PASSING = "dsn_02 netscape_01 postfix_02 simple_32 simple_44 smtp32_01 smtp32_02 yahoo_01"
BLOCKED = "aol_01 dsn_09"
OF_THE_MESSAGE = "dsn_03 postfix_03 postfix_05 sendmail_01 simple_02 simple_18"
CAUSES = {
    **dict.fromkeys(FULL.split(), _K.MAILBOX_FULL),
    **dict.fromkeys(PASSING.split(), _K.SOFT),
    **dict.fromkeys(BLOCKED.split(), _K.BLOCK),
    **dict.fromkeys(OF_THE_MESSAGE.split(), _K.MESSAGE_FAULT),
}
#: Files without a label, or with an empty one: what a reader finds in them.
UNLABELLED = {
    "bounce_01": (None, _K.MAILBOX_FULL),  # "mail box space not enough", for "dylan", who is no address
    "dumbass_01": (None, _K.SOFT),  # "exceeded maximum delivery attempts", for nobody who is named
    "groupwise_03": ("reservas@yyyyy.cu", _K.REPLY),  # a person answers, and quotes
    "qmail_08": ("contact@example.com", _K.AUTO_REPLY),
    "simple_42": ("david...@gmail.com", _K.BLOCK),  # 550-5.7.1, likely unsolicited
    "simple_43": (None, _K.HARD),  # "one or more of the recipients are not a valid user"
}

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the data sets are not beside the repository"),
]


def labels() -> dict[str, tuple[frozenset[str], bool]]:
    """By file: the addresses, and whether they failed for good."""
    with (FOLDER / "expected.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {
        row["file"].removesuffix(".txt"): (
            frozenset((row["permanent"] or row["temporary"]).split("|")),
            bool(row["permanent"]),
        )
        for row in rows
        if row["permanent"] or row["temporary"]
    }


def found(name: str) -> list[tuple[str | None, FeedbackKind]]:
    return [(one.recipient, one.kind) for one in read((FOLDER / f"{name}.txt").read_bytes()).findings]


def test_every_labelled_bounce_names_its_addresses():
    """
    Of every labelled bounce, the addresses are those of its label, no more and no fewer.
    """
    expected = {name: addresses for name, (addresses, _) in labels().items()}

    assert expected == {name: frozenset(address for address, _ in found(name)) for name in expected}
    assert len(expected) == 111


def test_every_labelled_bounce_is_of_the_kind_it_says():
    """
    What failed for good is a bounce, hard unless it says a better cause; what is still tried is delayed.
    """
    expected = {
        name: {CAUSES.get(name, _K.HARD) if for_good else _K.DELAYED} for name, (_, for_good) in labels().items()
    }

    assert expected == {name: {kind for _, kind in found(name)} for name in expected}


def test_the_page_counts_labels_and_classes_as_they_are():
    """
    The table of labels and classes in docs/inbound.md is that of these files.
    """
    page = (Path(__file__).parents[2] / "docs/inbound.md").read_text(encoding="utf-8")
    head = next(line for line in page.split("\n") if line.startswith("| label |"))
    classes = re.findall(r"`(\w+)`", head)
    counted = Counter((for_good, found(name)[0][1]) for name, (_, for_good) in labels().items())

    for words, for_good in (("for good", True), ("still tried", False)):
        row = " | ".join(str(counted[for_good, kind]) for kind in classes)
        assert f"| {words} | {row} |" in page
    assert 111 == sum(counted[for_good, kind] for for_good in (True, False) for kind in classes)


def test_every_failure_has_a_status_of_its_kind():
    """
    Bounces carry a code of failure, delays none that is permanent.
    """
    findings = [one for name in labels() for one in read((FOLDER / f"{name}.txt").read_bytes()).findings]
    failed = [one for one in findings if one.kind in BOUNCES]
    delayed = [one for one in findings if one.kind is _K.DELAYED]

    assert [] == [one for one in failed if not one.status or one.status[0] not in "45"]
    assert [] == [one for one in delayed if not one.status or one.status[0] != "4"]


def test_every_unlabelled_file_is_what_a_reader_finds_in_it():
    """
    Files without a label are read as their words say, without an address where they name none.
    """
    names = {path.stem for path in FOLDER.glob("*.txt")}

    assert set(UNLABELLED) == names - set(labels())
    assert {name: [told] for name, told in UNLABELLED.items()} == {name: found(name) for name in UNLABELLED}
