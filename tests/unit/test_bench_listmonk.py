"""The bench beside listmonk: both send the same, and what is told of it is what was measured."""

import re
from pathlib import Path

import pytest

from bench.measuring.section import PAGE
from bench.sending.listmonk import page
from bench.sending.traffic import Traffic

_SENDING = Path(page.__file__).parents[1]
_OURS = (_SENDING / "offer.html").read_text(encoding="utf-8")
#: What listmonk works out of the whole name.
_NAMES = {"FirstName": "first_name", "LastName": "last_name"}


def test_performance_page_shows_the_figures_beside_listmonk():
    """
    The section of docs/performance.md is that of bench/results/listmonk.json.
    """
    written = PAGE.read_text(encoding="utf-8")

    assert page.SECTION.filled(written, page.SECTION.known()) == written, (
        "run `PYTHONPATH=. python bench/listmonk.py --docs`"
    )


@pytest.mark.parametrize("file", ["offer.html", "offer.txt"])
def test_listmonk_mailing_has_our_links_and_values(file):
    """
    The text and the HTML that listmonk sends have the links and the personal values of ours, no fewer and no more.
    """
    theirs = (_SENDING / "listmonk" / file).read_text(encoding="utf-8")

    assert set(re.findall(r'href="(https:[^"]+)"', _OURS)) == set(re.findall(r"(https:\S+?)@TrackLink", theirs))
    body = _OURS.split("---\n")[2]
    ours = set(re.findall(r"customer\.(?:attributes\.)?(\w+)", body))
    named = set(re.findall(r"\.Subscriber\.(?:Attribs\.)?(\w+)", theirs))
    assert ours == {_NAMES.get(name, name) for name in named}


def test_traffic_is_timed_from_the_first_message_to_the_last():
    """
    Connections closed before and after do not count, however late.
    """
    readings = [(0.0, 1_000), (1.0, 1_060), (5.0, 2_060), (6.0, 6_000), (7.0, 10_960), (50.0, 11_000)]

    assert Traffic(10, 1_000.0, 2.0) == Traffic.of(readings, messages=10)
