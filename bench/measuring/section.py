"""A section of docs/performance.md that is written from a file of results."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.measuring.by_size import RESULTS

PAGE: Final = RESULTS.parent.parent / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Section:
    """What stands between two marks that have its name; `lines` puts the results into words."""

    name: str
    script: str  # which measures, and writes it
    results: str  # the name of its file
    lines: Callable[[Mapping[str, Any]], Iterable[str]]

    @property
    def file(self) -> Path:
        """Where the results are kept."""
        return RESULTS / f"{self.results}.json"

    def known(self) -> dict[str, Any] | None:
        """What the results file holds; None: nothing was measured yet."""
        found: dict[str, Any] | None = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else None
        return found

    def keep(self, whole: Mapping[str, Any]) -> None:
        """The results file and the page hold these results."""
        RESULTS.mkdir(exist_ok=True)
        self.file.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        self.write(whole)

    def write(self, whole: Mapping[str, Any] | None) -> None:
        """The page shows these results."""
        PAGE.write_text(self.filled(PAGE.read_text(encoding="utf-8"), whole), encoding="utf-8")

    def filled(self, page: str, whole: Mapping[str, Any] | None) -> str:
        """`page` with these results between the two marks."""
        begin = f"<!-- {self.name}: written by {self.script} from bench/results/{self.results}.json -->\n"
        end = f"<!-- end of the {self.name} -->\n"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        content = "\n".join(self.lines(whole)) if whole else "Not measured yet."
        return f"{before}{begin}\n{content}\n\n{end}{after}"
