"""The page of figures says what was measured."""

from bench.sending import page


def test_performance_page_shows_the_results_file():
    """
    The tables in docs/performance.md are those of bench/results/send.json.
    """
    written = page.PAGE.read_text(encoding="utf-8")

    assert page.filled(written, page.known()) == written, "run `PYTHONPATH=. python bench/send.py --docs`"
