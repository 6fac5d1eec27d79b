"""`doubt` in `clarion.yaml`: what becomes of a message that was handed over and never answered (S-1.33)."""

from typing import Literal

from core.yaml_files import Section

InDoubt = Literal["repeat", "hold"]


class Doubt(Section):
    """By class: `repeat` sends the same bytes again, so that none is lost and one may come twice; `hold` never does."""

    transactional: InDoubt = "repeat"
    bulk: InDoubt = "hold"

    def repeats(self, message_class: str) -> bool | None:
        """Whether messages of the class are sent again; None: as the class does by itself."""
        chosen: InDoubt = getattr(self, message_class)
        return None if chosen == Doubt.model_fields[message_class].default else chosen == "repeat"
