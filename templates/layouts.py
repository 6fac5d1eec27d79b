"""Layouts and includes, resolved when a mailing is compiled: what is left is one flat list of chunks.

`{% extends %}`, `{% block %}`, `{{ super() }}` and `{% include %}` mean what they mean in Jinja. Resolving
them here lets MJML and CSS see the whole document, and lets endless or exploding inclusion be refused early.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from core.errors import Problem
from core.names import did_you_mean
from templates.chunks import Chunk, Kind, cut, depths
from templates.definition import SUFFIXES, Definition, TemplateSource, parse_definition
from templates.markdown import through_markdown

MAX_DEPTH: Final = 20
MAX_CHARACTERS: Final = 500_000
_BUILTIN: Final = Path(__file__).parent / "builtin"
_NAMED = re.compile(r"""\s*\w+\s+(["'])(?P<name>[^"']+)\1\s*(?P<rest>.*)""", re.DOTALL)
_DOCUMENT = re.compile(r"<(html|body|mjml)\b", re.IGNORECASE)
_DEFAULT_LAYOUT: Final = {
    ".html": "layouts/default.html",
    ".md": "layouts/default.html",
    ".mjml": "layouts/default.mjml",
}
_BLOCK = re.compile(r"\s*block\s+(\w+)")


@dataclass(slots=True)
class Block:
    """A named place of a layout, with what stands in it unless a template fills it."""

    name: str
    opened: Chunk
    body: list["Chunk | Block"] = field(default_factory=list)


Tree = list[Chunk | Block]


@dataclass(slots=True)
class _Parsed:
    tree: Tree
    parent: str | None
    extends: Chunk | None


@dataclass(slots=True)
class Flat:
    """A template without layouts and includes.

    `prologue` holds the `set`s and macros that stand before it, `written` the mailing's own text without its
    layout and before Markdown.
    """

    prologue: list[Chunk] = field(default_factory=list)
    body: list[Chunk] = field(default_factory=list)
    written: list[Chunk] = field(default_factory=list)


@cache
def builtin_sources() -> Mapping[str, TemplateSource]:
    """The layouts and parts that Clarion brings along; a workspace file of the same name replaces one."""
    paths = sorted(path for path in _BUILTIN.rglob("*") if path.suffix in SUFFIXES)
    names = {path.relative_to(_BUILTIN).as_posix(): path for path in paths}
    return {name: TemplateSource(name, path.read_text(encoding="utf-8")) for name, path in names.items()}


@dataclass(slots=True)
class Flattener:
    """Resolves templates among `sources`; `uses` and `problems` grow while it works."""

    sources: Mapping[str, TemplateSource]
    uses: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _characters: int = 0

    def flatten(self, definition: Definition) -> Flat:
        """The mailing's body inside its layout; without `layout:` a fragment gets the built-in one."""
        source, layout = definition.source, definition.front.layout
        self._use(source.name)
        parsed = self._parse(definition)
        if layout and layout != "none" and any(isinstance(part, Block) for part in parsed.tree):
            parsed.parent, parsed.extends = layout, self._layout_chunk(definition, layout)
        flat = self._resolve(parsed, source.name, ())
        flat.written = list(flat.body)
        if source.suffix == ".md":
            flat.body = through_markdown(flat.body, source.file)
        if parsed.parent is None and layout is None and not _is_document(flat.body):
            layout = _DEFAULT_LAYOUT.get(source.suffix)
        if parsed.parent is not None or layout in (None, "none"):
            return flat
        return self._inside(flat, definition, layout)

    def _inside(self, flat: Flat, definition: Definition, layout: str) -> Flat:
        """`flat` as the block `content` of `layout`."""
        opened = self._layout_chunk(definition, layout)
        wrapped = _Parsed([Block("content", opened, [*flat.body])], layout, opened)
        whole = self._resolve(wrapped, definition.source.name, ())
        return Flat([*whole.prologue, *flat.prologue], whole.body, flat.written)

    def _layout_chunk(self, definition: Definition, layout: str) -> Chunk:
        return Chunk(Kind.TAG, f' extends "{layout}" ', definition.source.file, definition.lines.get("layout", 1))

    def _use(self, name: str) -> None:
        if name in self.sources and name not in self.uses:
            self.uses.append(name)

    def _parse(self, definition: Definition) -> _Parsed:
        chunks, problems = cut(definition.body, definition.source.file, definition.body_line)
        self.problems += problems
        return self._tree(chunks)

    def _tree(self, chunks: Iterable[Chunk]) -> _Parsed:
        """The chunks with blocks as branches; a block that is not closed, or closed twice, is a problem."""
        parsed = _Parsed([], None, None)
        open_blocks: list[Block] = []
        for chunk in chunks:
            here = open_blocks[-1].body if open_blocks else parsed.tree
            if chunk.keyword == "extends":
                parsed.parent, parsed.extends = self._name_in(chunk), chunk
            elif chunk.keyword == "block" and (match := _BLOCK.match(chunk.text)):
                block = Block(match.group(1), chunk)
                here.append(block)
                open_blocks.append(block)
            elif chunk.keyword == "endblock":
                if open_blocks:
                    open_blocks.pop()
                else:
                    self.problems.append(chunk.problem("{% endblock %} without {% block … %}"))
            elif chunk.keyword in ("import", "from"):
                hint = "write the macro in this file, or use {% include %}"
                self.problems.append(chunk.problem("templates cannot be imported", hint))
            else:
                here.append(chunk)
        self.problems += [
            block.opened.problem(f"the block {block.name!r} is never closed", "close it with {% endblock %}")
            for block in open_blocks
        ]
        return parsed

    def _name_in(self, chunk: Chunk) -> str | None:
        match = _NAMED.match(chunk.text)
        if match is None:
            hint = f'write {{% {chunk.keyword} "folder/name.html" %}}'
            self.problems.append(chunk.problem(f"{chunk.keyword} needs the name of one template in quotes", hint))
            return None
        return match.group("name")

    def _find(self, name: str, at: Chunk, trail: tuple[str, ...]) -> Definition | None:
        """The template `name`, which `at` asks for; None with the reason among the problems."""
        source = self.sources.get(name) or builtin_sources().get(name)
        if source is None:
            if "ignore missing" not in at.text:
                hint = did_you_mean(name, {*self.sources, *builtin_sources()} - {*trail})
                self.problems.append(at.problem(f"there is no template {name!r}", hint))
            return None
        if name in trail:
            chain = " → ".join([*trail[trail.index(name) :], name])
            self.problems.append(at.problem(f"templates contain each other: {chain}"))
            return None
        if len(trail) >= MAX_DEPTH:
            self.problems.append(at.problem(f"templates are nested deeper than {MAX_DEPTH}"))
            return None
        self._use(name)
        definition, problems = parse_definition(source)
        self.problems += problems
        return definition

    def _resolve(self, parsed: _Parsed, name: str, trail: tuple[str, ...]) -> Flat:
        """The template with its layouts around it."""
        bodies: dict[str, list[Tree]] = {}
        flat = Flat()
        trail = (*trail, name)
        while parsed.parent is not None and parsed.extends is not None:
            _collect(parsed.tree, bodies)
            flat.prologue[:0] = self._outside_blocks(parsed.tree)
            definition = self._find(parsed.parent, parsed.extends, trail)
            if definition is None:
                return flat
            trail = (*trail, parsed.parent)
            parsed = self._parse(definition)
        _collect(parsed.tree, bodies)
        self._emit(parsed.tree, bodies, trail, flat.body)
        leading, flat.body = _split_leading(flat.body)
        flat.prologue[:0] = leading
        return flat

    def _outside_blocks(self, tree: Tree) -> list[Chunk]:
        """What a template that extends another defines outside its blocks: `set`s and macros."""
        chunks = [part for part in tree if isinstance(part, Chunk)]
        kept, rest = _split_definitions(chunks)
        for chunk in rest:
            if chunk.kind is not Kind.DATA or chunk.text.strip():
                hint = "move it into a {% block … %} of the layout"
                self.problems.append(chunk.problem("this stands outside the blocks and would be lost", hint))
                break
        return kept

    def _emit(
        self,
        tree: Tree,
        bodies: Mapping[str, list[Tree]],
        trail: tuple[str, ...],
        out: list[Chunk],
        below: tuple[str, int] | None = None,
    ) -> None:
        """`tree` at the end of `out`. `below`: the block being filled, and how many layouts up its text is from."""
        for part in tree:
            if self._characters > MAX_CHARACTERS:
                return
            if isinstance(part, Block):
                self._emit(bodies[part.name][0], bodies, trail, out, (part.name, 0))
            elif part.keyword == "include":
                self._include(part, trail, out)
            elif part.kind is Kind.PRINT and re.search(r"\bsuper\s*\(", part.text):
                self._super(part, bodies, trail, out, below)
            else:
                out.append(part)
                self._count(part)

    def _count(self, chunk: Chunk) -> None:
        self._characters += len(chunk.text)
        if self._characters > MAX_CHARACTERS:
            self.problems.append(chunk.problem(f"with its includes the template exceeds {MAX_CHARACTERS} characters"))

    def _super(
        self,
        chunk: Chunk,
        bodies: Mapping[str, list[Tree]],
        trail: tuple[str, ...],
        out: list[Chunk],
        below: tuple[str, int] | None,
    ) -> None:
        if chunk.text.strip() != "super()":
            self.problems.append(chunk.problem("super() stands alone", "write {{ super() }}"))
        elif below is None or below[1] + 1 >= len(bodies[below[0]]):
            self.problems.append(chunk.problem("super() has no layout's block to print"))
        else:
            name, level = below
            self._emit(bodies[name][level + 1], bodies, trail, out, (name, level + 1))

    def _include(self, chunk: Chunk, trail: tuple[str, ...], out: list[Chunk]) -> None:
        name = self._name_in(chunk)
        definition = self._find(name, chunk, trail) if name else None
        if name and definition is not None:
            flat = self._resolve(self._parse(definition), name, trail)
            out += flat.prologue
            out += flat.body


def named_in(chunk: Chunk) -> str | None:
    """The template that an `extends` or `include` names."""
    match = _NAMED.match(chunk.text) if chunk.keyword in ("extends", "include") else None
    return match.group("name") if match else None


def _is_document(chunks: Iterable[Chunk]) -> bool:
    """Whether the chunks are a whole document rather than what stands inside one."""
    return any(chunk.kind is Kind.DATA and _DOCUMENT.search(chunk.text) for chunk in chunks)


def _collect(tree: Tree, bodies: dict[str, list[Tree]]) -> None:
    """The blocks of one template join the end of `bodies`, so that the innermost template comes first."""
    for part in tree:
        if isinstance(part, Block):
            bodies.setdefault(part.name, []).append(part.body)
            _collect(part.body, bodies)


def _split_definitions(chunks: list[Chunk]) -> tuple[list[Chunk], list[Chunk]]:
    """The `set`s and macros among `chunks`, and the rest."""
    kept: list[Chunk] = []
    rest: list[Chunk] = []
    inside = False
    for chunk, depth in zip(chunks, depths(chunks), strict=True):
        if depth == 0:
            inside = chunk.keyword in ("set", "macro", "endset", "endmacro")
        (kept if inside else rest).append(chunk)
        if depth == 0 and (chunk.keyword in ("endset", "endmacro") or (chunk.keyword == "set" and "=" in chunk.text)):
            inside = False
    return kept, rest


def _split_leading(chunks: list[Chunk]) -> tuple[list[Chunk], list[Chunk]]:
    """The `set`s and macros before the first text, and everything from there on."""
    for index, (chunk, depth) in enumerate(zip(chunks, depths(chunks), strict=True)):
        starts = chunk.kind is not Kind.DATA or bool(chunk.text.strip())
        if depth == 0 and starts and chunk.keyword not in ("set", "macro", "endset", "endmacro"):
            kept, _ = _split_definitions(chunks[:index])
            return kept, chunks[index:]
    kept, rest = _split_definitions(chunks)
    return kept, rest
