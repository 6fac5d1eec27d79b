"""The workspace folder: found from within, private where it must be, and stable in its secret."""

import stat

import pytest

from core.errors import NotFound
from core.workspace import Workspace


def _with_settings(folder, text=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clarion.yaml").write_text(text, encoding="utf-8")
    return folder


def test_workspace_is_found_from_a_folder_inside_it(tmp_path):
    """
    A command works in any folder below the one with clarion.yaml.
    """
    root = _with_settings(tmp_path / "shop")
    inside = root / "campaigns" / "2026"
    inside.mkdir(parents=True)

    assert root.resolve() == Workspace.find(inside).root


def test_workspace_is_named_by_the_environment(tmp_path, monkeypatch):
    """
    `$CLARION_WORKSPACE` names the workspace unless a folder is given.
    """
    named, given = _with_settings(tmp_path / "named"), _with_settings(tmp_path / "given")
    monkeypatch.setenv("CLARION_WORKSPACE", str(named))

    assert named.resolve() == Workspace.find().root
    assert given.resolve() == Workspace.find(given).root


def test_folder_without_workspace_is_refused_with_a_way_out(tmp_path):
    """
    The error names the folder, and how to get a workspace.
    """
    with pytest.raises(NotFound) as caught:
        Workspace.find(tmp_path)

    assert str(tmp_path) in caught.value.message
    assert "clarion init" in caught.value.hint


def test_state_is_private_and_stays_out_of_version_control(make_workspace):
    """
    `.clarion/` can be entered by its owner only, and ignores itself.
    """
    state = make_workspace().state

    assert 0o700 == stat.S_IMODE(state.stat().st_mode)
    assert "*\n" == (state / ".gitignore").read_text(encoding="utf-8")


def test_files_are_listed_by_name_with_subfolders(make_workspace):
    """
    A folder's files come sorted, those in subfolders too, other kinds left out; no folder means no files.
    """
    workspace = make_workspace(files={"segments/b.yaml": "", "segments/a/c.yaml": "", "segments/readme.md": ""})

    assert ["segments/a/c.yaml", "segments/b.yaml"] == [
        workspace.shown(path) for path in workspace.files("segments", ".yaml")
    ]
    assert [] == list(workspace.files("events", ".yaml"))


def _without_secret(make_workspace):
    workspace = make_workspace()
    path = workspace.root / "clarion.yaml"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("secret:")]
    path.write_text("\n".join(lines), encoding="utf-8")
    return workspace


def test_secret_is_made_once_and_kept_private(make_workspace, monkeypatch):
    """
    A workspace without a secret gets one which every later command reads, and only its owner may.
    """
    monkeypatch.delenv("CLARION_SECRET", raising=False)
    workspace = _without_secret(make_workspace)
    made = workspace.secret

    assert 64 == len(made)
    assert made == Workspace(workspace.root).secret
    assert 0o600 == stat.S_IMODE((workspace.state / "secret").stat().st_mode)


def test_secret_comes_from_the_environment(make_workspace, monkeypatch):
    """
    `$CLARION_SECRET` is used where the settings name none, and nothing is written then.
    """
    monkeypatch.setenv("CLARION_SECRET", "e" * 32)
    workspace = _without_secret(make_workspace)

    assert b"e" * 32 == workspace.secret
    assert not (workspace.root / ".clarion").exists()


def test_two_workspaces_have_different_names(make_workspace):
    """
    The services of two folders on one machine are told apart.
    """
    assert make_workspace().name_hash != make_workspace().name_hash
