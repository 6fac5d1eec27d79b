"""What a mailing says without the person, and its fingerprint: equal for mailings that say the same."""

import hashlib
import re
from collections.abc import Iterable
from html import unescape

from templates.attaching import is_local
from templates.files import Asset
from templates.links import attributes_of
from templates.masking import Mask
from templates.plain_text import text_of


def said_by(page: str, mask: Mask) -> str:
    """What the page says to everybody: its text, where its links lead, its pictures on web servers."""
    text = text_of(
        mask.commented(page),
        link=lambda href, _: unescape(href),
        is_code=lambda comment: bool(re.fullmatch(mask.word_pattern, comment)),
    )
    pictures = [attributes_of(tag).get("src", "") for tag in re.findall(r"<img\b[^>]*>", page)]
    return "\n".join([text, *(picture for picture in pictures if not is_local(picture))])


def piece_of(said: str, mask: Mask, files: Iterable[Asset]) -> str:
    """32 hexadecimal digits that are equal for texts which differ in nothing but white space and names of files."""
    pieces = [piece if isinstance(piece, str) else f" {piece.code} " for piece in mask.pieces(said)]
    text = " ".join(["".join(pieces), *sorted({file.digest for file in files})])
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).hexdigest()
