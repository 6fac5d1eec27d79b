"""What all tests of a room share: the few templates that they send are compiled once."""

from collections.abc import Iterator

import pytest

from tests.remembering import templates_compiled_once


@pytest.fixture(scope="module", autouse=True)
def _templates_compiled_once() -> Iterator[None]:
    with templates_compiled_once():
        yield
