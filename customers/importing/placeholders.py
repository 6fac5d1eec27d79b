"""What people and programs write into a cell that is not filled in: taken for a key, it makes one person of many."""

from typing import Final

_WORDS: Final = frozenset({
    "na", "nan", "none", "null", "nil", "nothing", "undefined", "unknown", "unassigned", "empty", "missing", "tbd",
    "todo", "test", "notavailable", "notapplicable", "keine", "keiner", "kein", "unbekannt", "ohne", "leer", "fehlt",
    "nichtbekannt", "keineangabe", "ka", "无", "空", "未知", "不详", "没有", "暂无", "x", "xx", "xxx",
})  # fmt: skip


def is_placeholder(text: str) -> bool:
    """Whether the text, not empty, stands for nothing: `n/a`, `-`, `unknown`, `0`, `None`, `#N/A`."""
    letters = "".join(char for char in text.casefold() if char.isalnum())
    return bool(text) and (not letters.strip("0") or letters in _WORDS)
