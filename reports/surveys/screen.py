"""A survey's report as lines for a terminal."""

from collections.abc import Iterator

from reports.screen import text_bar
from reports.surveys.figures import Answers, Rating, SurveyReport
from reports.surveys.intervals import Interval
from reports.words import percent

#: Of words so many are shown, each shortened to so many characters; `--csv` has them all.
_WORDS = 5
_LONGEST = 100


def lines(report: SurveyReport) -> Iterator[str]:
    """The report, line by line."""
    yield f"{report.survey} · {report.title} · as of {report.as_of:%Y-%m-%d %H:%M %Z}"
    yield ""
    yield f"  asked     {report.asked:>9,}"
    yield f"  answered  {report.answered:>9,}  {percent(report.share)}{shares(report.interval)}"
    for answers in report.questions:
        yield ""
        yield f"{answers.ask}  ({answers.question}, {answers.answered:,} answered)"
        yield from _answered(answers)


def _answered(answers: Answers) -> Iterator[str]:
    if answers.rating is not None:
        full = max(answers.rating.counts)
        for rating, number in enumerate(answers.rating.counts):
            yield f"  {rating:>2}  {number:>9,}  {text_bar(number, full)}".rstrip()
        yield f"  {score(answers.rating)}"
        tiers = answers.by_tier or {}
        for tier, rated in tiers.items() if len(tiers) > 1 else ():
            yield f"  {tier:<10}{rated.total:>7,}  {score(rated)}"
    for said in answers.latest[:_WORDS]:
        yield f"  “{' '.join(said.split())[:_LONGEST]}”"
    for choice in answers.choices:
        share = percent(choice.count / answers.answered if answers.answered else None)
        yield f"  {choice.shown:<24}{choice.count:>9,}  {share}{shares(choice.interval)}"


def score(rating: Rating) -> str:
    """Mean and Net Promoter Score in words."""
    if rating.mean is None or rating.score is None or rating.interval is None:
        return "no answers"
    ends = f"{rating.interval.lowest:+.0f} to {rating.interval.highest:+.0f}"
    return f"mean {rating.mean:.1f}, NPS {rating.score:+.0f} ({ends})"


def shares(interval: Interval | None) -> str:
    """An interval of a share, such as ` (12 % to 19 %)`; empty for none."""
    return f" ({percent(interval.lowest)} to {percent(interval.highest)})" if interval is not None else ""
