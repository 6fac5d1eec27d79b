"""The page of figures says what was measured."""

from bench.measuring.section import PAGE
from bench.sending import page


def test_performance_page_shows_the_results_file():
    """
    The tables in docs/performance.md are those of bench/results/send.json.
    """
    written = PAGE.read_text(encoding="utf-8")

    assert page.SECTION.filled(written, page.SECTION.known()) == written, (
        "run `PYTHONPATH=. python bench/send.py --docs`"
    )
