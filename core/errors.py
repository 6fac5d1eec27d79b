"""The errors a person can do something about; anything else keeps its traceback."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass


class EngineError(Exception):
    """Clarion could not do what was asked."""

    exit_code = 1

    def __init__(self, message: str = "", *, hint: str = "", where: str = "") -> None:
        super().__init__(message or inspect.cleandoc(self.__doc__ or ""))
        self.message = message or inspect.cleandoc(self.__doc__ or "")
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\nhint: {self.hint}" if self.hint else text


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in one file: the place, what is wrong, and what to do about it."""

    file: str
    line: int  # 1-based; 0 when the whole file is meant
    message: str
    hint: str = ""
    excerpt: str = ""  # the offending text with a caret line under it, when that helps

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        lines = [f"{place}: {self.message}"]
        lines += [f"    {row}" for row in self.excerpt.splitlines()]
        if self.hint:
            lines.append(f"    hint: {self.hint}")
        return "\n".join(lines)


class ConfigError(EngineError):
    """The workspace files hold mistakes."""

    def __init__(self, message: str = "", *, hint: str = "", where: str = "", problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(sorted(problems))
        if self.problems and not message:
            message = "\n".join(str(problem) for problem in self.problems)
        super().__init__(message, hint=hint, where=where)


class UsageError(EngineError):
    """The command was given something it does not take."""

    exit_code = 2


class ExpressionError(EngineError):
    """A segment expression cannot be compiled."""


class ImportFailed(EngineError):
    """The file could not be imported; nothing was changed."""


class AddressError(EngineError):
    """The text is not a usable e-mail address."""


class PlanError(EngineError):
    """The plan cannot be made or applied."""


class StalePlan(PlanError):
    """The plan no longer describes what would happen; nothing was sent."""


class RenderError(EngineError):
    """A mailing could not be rendered for one customer."""


class TransportError(EngineError):
    """A transport cannot be used."""


class ServiceError(EngineError):
    """A service Clarion needs (PostgreSQL, Valkey) could not be reached or started."""


class NotFound(EngineError):
    """There is nothing of that name."""


def raise_together(refused: Sequence[EngineError]) -> None:
    """Nothing is wrong.

    Raises:
        ConfigError: mistakes in files, and nothing else; it says all of them.
        PlanError: whatever else was refused; it says all of it.
    """
    if len(refused) == 1:
        raise refused[0]
    mistakes = [error for error in refused if isinstance(error, ConfigError)]
    if refused and len(mistakes) == len(refused):
        raise ConfigError(problems=[problem for error in mistakes for problem in error.problems])
    if refused:
        hints = dict.fromkeys(error.hint for error in refused if error.hint)
        raise PlanError("\n".join(error.message for error in refused), hint="; ".join(hints))
