"""What pages know of files: at most a minute old, and as it was while a file has mistakes."""

from collections.abc import Callable

import pytest

from core.errors import ConfigError
from core.workspace import Workspace
from tests.event_pages import EVENT
from web import kept
from web.kept import Kept, event_files


def test_files_are_read_anew_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Not before; and while they have mistakes, what was read last counts.
    """
    clock, said = [0.0], iter([1, 2, ConfigError("a mistake"), 3])
    monkeypatch.setattr(kept.time, "monotonic", lambda: clock[0])

    def read() -> int:
        found = next(said)
        if isinstance(found, ConfigError):
            raise found
        return found

    one = Kept(read)
    seen = []
    for seconds in (0.0, 59.0, 60.0, 120.0, 180.0):
        clock[0] = seconds
        seen.append(one.now())

    assert [1, 1, 2, 2, 3] == seen


def test_files_that_were_never_good_are_told() -> None:
    """
    There is nothing older to go by.
    """

    def read() -> int:
        raise ConfigError("a mistake")

    with pytest.raises(ConfigError):
        Kept(read).now()


def test_event_file_with_mistakes_stays_as_it_was(make_workspace: Callable[..., Workspace]) -> None:
    """
    A captcha is not lost because somebody is writing in the file.
    """
    workspace = make_workspace(files={"events/day.yaml": EVENT.replace("CAPACITY", "2")})
    read = event_files(workspace.root)
    before = read()["day"].definition
    (workspace.root / "events" / "day.yaml").write_text("title: [", encoding="utf-8")

    assert before is not None
    assert before == read()["day"].definition
