"""What is installed is what is in the repository: the wheel holds every file of every room."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cli import COMMANDS

ROOT = Path(__file__).parents[2]
ROOMS = {module.partition(".")[0] for module, _, _ in COMMANDS.values()} | {"core", "delivery", "templates", "tracking"}


@pytest.mark.slow
def test_wheel_holds_every_file_of_every_room(tmp_path):
    """
    Templates, sample files, styles and migrations are in the wheel, not only the modules.
    """
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=ignored)
    for name in ("cli.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    expected = {path.relative_to(source).as_posix() for room in ROOMS for path in (source / room).rglob("*.*")}

    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())

    assert set() == {name for name in expected if (source / name).is_file()} - held
