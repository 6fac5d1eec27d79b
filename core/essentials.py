"""What stopping needs of `clarion.yaml`: the database and the secrets, also while there are mistakes beside them."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from core.errors import ConfigError
from core.settings import checked_database, checked_secret
from core.yaml_files import Document, build, parse_document

#: Lines that count where the file as a whole is no YAML.
_LINE: Final = re.compile(r"^(?:database|secret|retired_secrets):.*$", re.MULTILINE)


class Essentials(BaseModel):
    """Where the ledger is. Everything else in the file is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    database: Annotated[str, AfterValidator(checked_database)] = Field("embedded", repr=False)
    secret: Annotated[str, AfterValidator(checked_secret)] | None = Field(None, repr=False)
    retired_secrets: tuple[Annotated[str, AfterValidator(checked_secret)], ...] = Field((), repr=False)


def essentials(text: str, file: str) -> Essentials:
    """What the text of the settings file says of them.

    Raises:
        ConfigError: one of them is itself wrong.
    """
    document = parse_document(text, Document(file))
    if not isinstance(document.content, dict):
        document = parse_document("\n".join(_LINE.findall(text)), Document(file))
    wanted = {name: document.content[name] for name in Essentials.model_fields if name in (document.content or {})}
    alone = Document(file, wanted, document.lines, private=document.private, judged=document.judged)
    alone.problems = [problem for problem in document.problems if _concerns(problem.line, document)]
    found = build(Essentials, alone)
    if found is None:
        raise ConfigError(problems=alone.problems)
    return found


def _concerns(line: int, document: Document) -> bool:
    return any(document.lines.get((name,)) == line for name in Essentials.model_fields)
