"""The files a mailing names: looked up, and measured together."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from core.errors import Problem
from core.units import format_size
from templates.addresses import scheme_of
from templates.definition import AttachedFile, Definition
from templates.files import IMAGE_TYPES, Asset, Attachment, NoSuchFile, Shelf, suffix_of

_LONGEST_NAME: Final = 120


def is_local(address: str) -> bool:
    """Whether the address of a picture is a path below `templates/`: it has neither scheme nor host."""
    return bool(address) and not scheme_of(address) and not address.startswith(("//", "#", "?"))


def image_of(address: str, files: Shelf) -> Asset:
    """The file that the address of a picture names.

    Raises:
        NoSuchFile: there is none, or mail programs do not show it.
    """
    try:
        asset = files.find(address)
    except NoSuchFile as missing:
        if "%" not in address:
            raise
        try:
            asset = files.find(unquote(address))  # a blank is written %20 in an address
        except NoSuchFile:
            raise missing from None
    if suffix_of(asset.name) not in IMAGE_TYPES:
        raise NoSuchFile(f"mail programs show no {suffix_of(asset.name)} pictures", "save it as PNG, JPEG or GIF")
    return asset


def attachments_of(definition: Definition, files: Shelf) -> tuple[tuple[Attachment, ...], list[Problem]]:
    """The attachments of the front matter, and what is wrong with any of them."""
    found: list[Attachment] = []
    problems: list[Problem] = []
    file = definition.source.file
    for entry, line in zip(definition.front.attachments, definition.attachment_lines, strict=True):
        try:
            attachment = _attachment(entry, files)
        except NoSuchFile as error:
            problems.append(Problem(file, line, error.message, error.hint))
            continue
        if any(attachment.name.lower() == other.name.lower() for other in found):
            hint = "give one of them another name: {file: …, name: …}"
            problems.append(Problem(file, line, f"two attachments are called {attachment.name!r}", hint))
        found.append(attachment)
    return tuple(found), problems


def _attachment(entry: AttachedFile, files: Shelf) -> Attachment:
    if any("{" + sign in text for text in (entry.file, entry.name or "") for sign in "{%#"):
        raise NoSuchFile("an attachment holds values", "attachments are the same for everybody")
    asset = files.find(entry.file)
    name = (entry.name or asset.name.rpartition("/")[2]).strip()
    if suffix_of(name) != suffix_of(asset.name):
        stem = name.removesuffix(suffix_of(name))
        hint = f"write {stem + suffix_of(asset.name)!r}"
        raise NoSuchFile(f"the name {name!r} does not end like the file {asset.name!r}", hint)
    _check_name(name)
    return Attachment(asset, name)


def _check_name(name: str) -> None:
    if "/" in name or "\\" in name:
        raise NoSuchFile(f"the name {name!r} holds the parts of a path", "write the last part only")
    if not all(character.isprintable() or character == "\u3000" for character in name):
        raise NoSuchFile(f"the name {name!r} holds a character that cannot be seen", "remove it")
    if len(name) > _LONGEST_NAME:
        raise NoSuchFile(f"the name has {len(name)} characters, at most {_LONGEST_NAME}")


def size_problems(definition: Definition, assets: Iterable[Asset], files: Shelf) -> list[Problem]:
    """The mistake of a mailing whose files are too large together, if it is one."""
    each = {asset.digest: asset for asset in assets}
    total = sum(asset.size for asset in each.values())
    if total <= files.largest:
        return []
    line = definition.lines.get("attachments", 1) if definition.front.attachments else 1
    biggest = sorted(each.values(), key=lambda asset: -asset.size)[:3]
    shown = ", ".join(f"{asset.name} {format_size(asset.size)}" for asset in biggest)
    message = f"the files of the mailing have {format_size(total)} together, at most {format_size(files.largest)}"
    return [Problem(definition.source.file, line, message, f"put the largest on a web server and link to it: {shown}")]
