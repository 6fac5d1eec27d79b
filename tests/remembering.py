"""What one process works out once in production and every test would work out anew: compiled SQL, compiled templates.

Each test opens engines of its own and compiles the same few templates, again and again, to the same result.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.util import LRUCache

from templates import compiling, mailing
from templates.compiling import Parts
from templates.definition import TemplateSource
from templates.files import NO_FILES, Shelf
from templates.sandbox import Sandbox

_STATEMENTS, _TEMPLATES = 5000, 1000


@contextmanager
def statements_compiled_once() -> Iterator[None]:
    """Meanwhile a statement is compiled once, and a server is asked once what it can."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PGDialect_psycopg, "engine_created", classmethod(_adopting()))
        yield


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """Meanwhile a template is compiled once; one with a mistake is each time, for its mistakes to be told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sandbox, "compile", _program)
        patch.setattr(mailing, "compile_parts", _parts)
        yield


def _adopting() -> Callable[[type, Engine], None]:
    """An engine takes over what the first one of its kind has compiled and knows: all are of one server."""
    first: dict[Any, Engine] = {}

    def adopt(_: type, engine: Engine) -> None:
        dialect = engine.dialect
        kind = (type(dialect), dialect._on_connect_isolation_level, dialect._json_deserializer)
        known = first.get(kind)
        if known is None or known.dialect.server_version_info is None:  # that one never was connected
            first[kind] = engine
            engine._compiled_cache = LRUCache(_STATEMENTS)
            return
        dialect.initialize = lambda connection: None
        engine.dialect = engine.pool._dialect = known.dialect
        engine._compiled_cache = known._compiled_cache

    return adopt


_compile_once = lru_cache(_TEMPLATES)(Sandbox.compile)


def _program(sandbox: Sandbox, source: str, *details: Any, **more: Any) -> Any:
    return _compile_once(sandbox, source, *details, **more)


_known: LRUCache[Any, Parts] = LRUCache(_TEMPLATES)


def _parts(name: str, sources: Mapping[str, TemplateSource], *, files: Shelf = NO_FILES, **asked: Any) -> Parts:
    key = (name, *sources.items(), *sorted(asked.items()))
    parts = _known.get(key)
    if parts is None:
        parts = compiling.compile_parts(name, sources, files=files, **asked)
        if not parts.images and not parts.attachments:  # what those are, the files of the folder decide
            _known[key] = parts
    return parts
