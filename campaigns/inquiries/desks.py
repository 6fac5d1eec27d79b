"""The desks of clarion.yaml, by name and by the addresses that are theirs."""

from core.errors import NotFound
from core.form_settings import in_language, label_in
from core.inquiry_settings import Desk
from core.names import did_you_mean
from core.settings import Settings

#: The language of what employees read.
STAFF_LANGUAGE = "en"


def desk_of(settings: Settings, name: str) -> Desk:
    """The desk called `name`.

    Raises:
        NotFound: clarion.yaml has none; near misses are named.
    """
    if name not in settings.inquiries:
        hint = did_you_mean(name, settings.inquiries) or "desks are listed under `inquiries` in clarion.yaml"
        raise NotFound(f"there is no desk {name!r}", hint=hint)
    return settings.inquiries[name]


def title_of(desk: Desk, language: str | None) -> str:
    """What the desk is called in the language, such as `de` or `de-AT`."""
    code = (language or STAFF_LANGUAGE).split("-")[0].lower()
    return in_language(desk.title, code) or ""


def field_label(desk: Desk | None, name: str) -> str:
    """What employees call a field of the desk's form, or one that a program told of."""
    asked = desk.fields.get(name) if desk is not None else None
    return label_in(asked.label if asked is not None else {}, STAFF_LANGUAGE, name)
