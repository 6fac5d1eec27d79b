"""The links of a mailing: which are followed through the tracker, and which schemes may stand in one."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import Final

from markupsafe import escape

from core.errors import Problem
from templates.addresses import PLAIN_SCHEMES, bad_target, is_web, scheme_of
from templates.attaching import image_of, is_local
from templates.chunks import OPENERS, Chunk, Kind
from templates.files import Asset, NoSuchFile, Shelf
from templates.masking import Mask, Piece
from templates.variables import LINKS

#: Attributes that name something to fetch or follow, on whatever element they stand.
_ATTRIBUTES: Final = ("href", "src", "background")
#: Those that are looked at only when they hold values.
_PERSONAL_ATTRIBUTES: Final = ("action", "formaction", "poster", "data", "xlink:href")
_START_TAG = re.compile(
    r"(?P<comment><!--.*?-->)|(?P<style><style\b.*?</style>)"
    r"|(?P<tag><(?P<name>[a-zA-Z][^\s/>]*)(?P<attrs>(?:\s+[^\s=>\"]+(?:=\"[^\"]*\")?)*)\s*/?>)"
    r"|(?P<odd><[a-zA-Z][^>]*>?)",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"(?P<space>\s+)(?P<name>[^\s=>\"]+)(?:=\"(?P<value>[^\"]*)\")?")
_CSS_URL = re.compile(r"url\(\s*[\"']?([^\"')]+)", re.IGNORECASE)
_TEXT_URL = re.compile(r"https?://[^\s<>\"]+")
_ENDS_QUOTED = re.compile(r"\|\s*urlencode\s*$")
_QUOTES: Final = 'write its attributes as name="{{ … }}", with double quotes and no blanks around ='
_TEXT: Final = "put it into the text, or into another attribute"
_TRAILING = ".,;:!?)]}'\u2019\u201d"


@dataclass(slots=True)
class Links:
    """The links met so far. `targets` are those followed through the tracker, by position; `images` the files shown.

    `chunks` is the text as it was written, searched for the line of a link that is wrong.
    """

    mask: Mask
    chunks: Sequence[Chunk]
    clicks: bool
    files: Shelf
    targets: list[str] = field(default_factory=list)
    images: list[Asset] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _words: dict[tuple[str, bool, bool], str] = field(default_factory=dict)

    def rewrite(self, html: str) -> str:
        """`html`, as the CSS step wrote it, with its links replaced."""
        return _START_TAG.sub(self._tag, html)

    def _tag(self, match: re.Match[str]) -> str:
        comment = match.group("comment")
        if comment is not None:  # Outlook's buttons live in conditional comments
            inner = comment[4:-3]
            return f"<!--{self.rewrite(inner)}-->" if inner.startswith("[if") else comment
        if match.group("style") is not None:
            return self._styled(match.group())
        if match.group("odd") is not None:
            return self._refused(match.group(), 'a value stands in a tag that is not plain name="…"', _QUOTES)
        if match.group("name").lower() == "link" and not self.mask.has_code(match.group()):
            return match.group()
        attributes, name = match.group("attrs"), match.group("name").lower()
        track = " data-no-track" not in attributes
        changed = _ATTRIBUTE.sub(lambda found: self._attribute(found, name, track), attributes)
        return match.group().replace(attributes, changed, 1) if attributes else match.group()

    def _attribute(self, found: re.Match[str], element: str, track: bool) -> str:
        name, value = found.group("name").lower(), found.group("value")
        if name == "data-no-track":
            return ""
        if value is None or not (name in _ATTRIBUTES or name == "style" or self.mask.has_code(value)):
            return found.group()
        if name.startswith("on") or name == "srcdoc":
            return self._refused(found.group(), f"a value stands in {name}=, which is a program", _TEXT)
        if name == "style":
            new = self._styled(value)
        elif name == "href" and element != "link":
            new = self.replacement(value, track=track)
        elif name == "src" and element == "img":
            new = self._shown(value)
        elif name in (*_ATTRIBUTES, *_PERSONAL_ATTRIBUTES):
            new = self._fetched(value, element)
        else:
            return found.group()
        return f'{found.group("space")}{found.group("name")}="{new}"'

    def _refused(self, written: str, message: str, hint: str) -> str:
        """`written`; the code in it is a problem."""
        for piece in self.mask.pieces(written):
            if isinstance(piece, Chunk):
                self.problems.append(piece.problem(message, hint))
        return written

    def _styled(self, written: str) -> str:
        """CSS: what it fetches is checked now, each value in it once it is known."""
        for fetched in _CSS_URL.finditer(unescape(written)):
            self._fetched_by_css(fetched.group(1).strip())
        if not self.mask.has_code(written):
            return written
        kept: list[str] = []
        for piece in self.mask.pieces(written):
            if isinstance(piece, str):
                kept.append(piece)
            elif piece.kind is Kind.PRINT:
                kept.append(self._filtered([piece], "_css", piece))
            else:
                if piece.keyword in ("call", "filter"):
                    self.problems.append(piece.problem(f"{{% {piece.keyword} %}} stands inside CSS", _TEXT))
                kept.append(self.mask.word(piece))
        return "".join(kept)

    def _fetched_by_css(self, address: str) -> None:
        if self.mask.has_code(address) or address.startswith("#") or scheme_of(address) == "data" or is_web(address):
            return
        message = f"CSS fetches {address[:80]!r}, expected an http or https address"
        self.problems.append(self._where(address).problem(message, 'mail programs show files by <img src="…"> only'))

    def replacement(self, href: str, *, track: bool = True, text: bool = False) -> str:
        """What stands in `href`'s stead: a word of the mask, or the target itself.

        `href` is as written in HTML; with `text` the answer is for the plain text part.
        """
        key = (href, track, text)
        if key not in self._words:
            self._words[key] = self._replaced(href, track and self.clicks, text)
        return self._words[key]

    def _replaced(self, href: str, track: bool, text: bool) -> str:
        target = unescape(href).strip()
        if self.mask.has_code(href):
            return self._personal(target if text else href, target, track)
        if not target.startswith("#") and scheme_of(target) not in PLAIN_SCHEMES and not is_web(target):
            self.problems.append(self._where(href).problem(*bad_target(target)))
        elif track and is_web(target):
            return self.mask.word(self._click(target))
        return target if text else href

    def _click(self, target: str) -> Chunk:
        if target not in self.targets:
            self.targets.append(target)
        return Chunk(Kind.PRINT, f" _clicks[{self.targets.index(target)}] ", self.chunks[0].file, 0)

    def _personal(self, written: str, target: str, track: bool) -> str:
        """A link with values in it: checked, and tracked, once they are known."""
        pieces = self.mask.pieces(written)
        first = next(piece for piece in pieces if isinstance(piece, Chunk))
        start = target[: target.find(self.mask.prefix)]
        scheme = scheme_of(start)
        if scheme == "mailto":
            return self._mail_link(pieces)
        if is_own_link(pieces) or scheme in PLAIN_SCHEMES or start.startswith("#"):
            return written
        if start and scheme not in ("http", "https"):
            self.problems.append(first.problem(*bad_target(start + "…")))
            return written
        own = is_own_link(pieces[:1])  # with something behind it
        return self._filtered(pieces, "_link" if track and not own else "_target", first)

    def _mail_link(self, pieces: Iterable[Piece]) -> str:
        """Each value is quoted: none adds a field, such as one more recipient (RFC 6068 section 2)."""
        kept, name = [], "_mailbox"
        for piece in pieces:
            if isinstance(piece, str):
                kept.append(piece)
                name = "_mail_field" if "?" in piece else name
            elif piece.kind is Kind.PRINT and not _ENDS_QUOTED.search(piece.text):
                kept.append(self._filtered([piece], name, piece))
            else:
                kept.append(self.mask.word(piece))
        return "".join(kept)

    def _filtered(self, pieces: list[Piece], name: str, first: Chunk) -> str:
        opening = Chunk(Kind.TAG, f" filter {name} ", first.file, first.line)
        return self.mask.word(opening, *pieces, Chunk(Kind.TAG, " endfilter ", first.file, first.line))

    def _shown(self, value: str) -> str:
        """The address of a picture: one that comes with the mail is named by its content."""
        if self.mask.has_code(value):
            return self._shown_by_value(value)
        if not is_local(unescape(value).strip()):
            return self._fetched(value, "img")
        try:
            asset = image_of(unescape(value).strip(), self.files)
        except NoSuchFile as error:
            self.problems.append(self._where(value).problem(error.message, error.hint))
            return value
        if asset not in self.images:
            self.images.append(asset)
        return f"cid:{asset.content_id}"

    def _shown_by_value(self, value: str) -> str:
        """An address with values in it: a whole one may come out of them, but no file's name."""
        pieces = self.mask.pieces(value)
        if not any(map(_begins_file, [None, *pieces], pieces)):
            return self._fetched(value, "img")
        first = next(piece for piece in pieces if isinstance(piece, Chunk))
        hint = "write one <img> per file, with conditions around them"
        self.problems.append(first.problem("the name of a file holds values or conditions", hint))
        return value

    def _fetched(self, value: str, element: str) -> str:
        target = unescape(value).strip()
        if not self.mask.has_code(value):
            if not is_web(target):
                message = f"<{element}> fetches {target[:80]!r}, expected an http or https address"
                hint = 'put the file on a web server, or show it by <img src="…"> from templates/'
                self.problems.append(self._where(value).problem(message, hint))
            return value
        pieces = self.mask.pieces(value)
        first = next(piece for piece in pieces if isinstance(piece, Chunk))
        return value if first.text.startswith(" _pixel") else self._filtered(pieces, "_target", first)

    def rewrite_text(self, text: str) -> str:
        """`text`, a masked plain text, with the web addresses in it replaced."""
        return _TEXT_URL.sub(lambda match: self._text_url(match.group()), text)

    def _text_url(self, url: str) -> str:
        bare = self.mask.balanced(url).rstrip(_TRAILING)
        return self.replacement(str(escape(bare)), text=True) + url[len(bare) :]

    def _where(self, written: str) -> Chunk:
        """A chunk at the place of `written`."""
        for chunk in self.chunks:
            if chunk.kind is Kind.DATA:
                at = max(chunk.text.find(written), chunk.text.find(unescape(written)))
                if at >= 0 and written:
                    return Chunk(Kind.DATA, "", chunk.file, chunk.line + chunk.text[:at].count("\n"))
        return Chunk(Kind.DATA, "", self.chunks[0].file, 0)


def _begins_file(before: Piece | None, piece: Piece) -> bool:
    """Whether `piece`, behind `before`, begins an address that is the name of a file."""
    if not isinstance(piece, str) or isinstance(before, str):
        return False
    begins = before is None or before.keyword in (*OPENERS, "elif", "else")
    return begins and is_local(unescape(piece).strip())


def is_own_link(pieces: Sequence[Piece]) -> bool:
    """Whether the target is the unsubscribe or view link, nothing more and nothing that only sounds like it."""
    match pieces:
        case [Chunk(kind=Kind.PRINT, text=text)]:
            return text.strip() in LINKS
    return False


def attributes_of(tag: str) -> Mapping[str, str]:
    """The attributes of a start tag as the CSS step writes it."""
    return {match.group("name"): unescape(match.group("value") or "") for match in _ATTRIBUTE.finditer(tag)}
