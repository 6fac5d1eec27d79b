"""What the tests of templates share: an organisation, a customer, and links that show what they are."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from core.settings import Organisation
from templates.definition import TemplateSource
from templates.files import NO_FILES, Shelf
from templates.mailing import Mailing, compile_mailing

ORGANISATION = Organisation(name="Paper & Co", postal_address="1 Mill Lane\n12345 Papertown")


class PlainUrls:
    """Links whose addresses tell what was asked for."""

    unsubscribe = "https://news.example/u/tok"
    preferences = "https://news.example/p/tok"
    view = "https://news.example/v/tok"
    pixel = "https://news.example/o/tok.gif"

    def __init__(self) -> None:
        self.asked: list[tuple[int | None, str]] = []

    def survey(self, name: str) -> str:
        """An address that holds the survey."""
        return f"https://news.example/s/{name}/tok"

    def registration(self, name: str) -> str:
        """An address that holds the event."""
        return f"https://news.example/events/{name}"

    def clicks(self, targets: Sequence[str]) -> list[str]:
        """An address for each position."""
        return [self.click(position, target) for position, target in enumerate(targets)]

    def click(self, position: int | None, url: str) -> str:
        """An address that holds the position."""
        self.asked.append((position, url))
        return f"https://news.example/c/{'own' if position is None else position}?a=1&b=2"


def context_of(**customer: object) -> dict[str, object]:
    """The context of a customer; fields not given are those of Ann Lee."""
    fields: dict[str, object] = {
        "external_id": "C1", "email": "ann@customers.example", "first_name": "Ann", "last_name": "Lee",
        "company": "Lee Ltd", "phone": None, "country": "DE", "language": "en", "zone": "Europe/Berlin",
        "owner": None, "attributes": {"size": 42}, "tier": "big", "abc": "A", "rfm": "555", "quadrant": "A",
        "order_count": 3, "monetary": 1234.5, "first_order_at": datetime(2024, 1, 2, 3, tzinfo=UTC),
        "last_order_at": datetime(2026, 2, 3, 4, tzinfo=UTC), "recency_days": 27,
    }  # fmt: skip
    return {
        "customer": fields | customer,
        "organisation": {
            "name": ORGANISATION.name, "postal_address": ORGANISATION.postal_address, "website": None,
        },
        "campaign": {"name": "spring", "topic": "promotions"},
        "sender": {"name": "Paper & Co", "email": "offers@paper.example"},
    }  # fmt: skip


def sources_of(files: Mapping[str, str]) -> dict[str, TemplateSource]:
    """The sources by name."""
    return {name: TemplateSource(name, text) for name, text in files.items()}


def compiled(
    files: Mapping[str, str],
    *,
    opens: bool = True,
    clicks: bool = True,
    subject: str | None = None,
    shelf: Shelf = NO_FILES,
) -> Mailing:
    """The first of `files` as a mailing."""
    name = next(iter(files))
    return compile_mailing(
        name, sources_of(files), organisation=ORGANISATION, opens=opens, clicks=clicks, subject=subject, files=shelf
    )
