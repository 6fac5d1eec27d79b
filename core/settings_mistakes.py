"""Mistakes in `clarion.yaml` that lie between values which are right one by one, each at its line."""

import shlex
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.addresses import parse_address
from core.calendar_settings import calendar_mistakes
from core.care_settings import care_mistakes
from core.errors import AddressError, Problem
from core.form_settings import form_mistakes
from core.inquiry_settings import inquiry_mistakes
from core.names import did_you_mean
from core.pressure_settings import pressure_mistakes
from core.staff_settings import staff_mistakes
from core.transport_settings import STANDBY, Transport
from core.yaml_files import Document
from core.yaml_mistakes import SIMPLE_NAME

if TYPE_CHECKING:
    from core.settings import Settings

Mistake = tuple[tuple[str | int, ...], str, str]


def settings_mistakes(settings: "Settings", document: Document) -> list[Problem]:
    """Every such mistake in `settings`, which may be the sound part of `document` alone."""
    transports, topics, staff = (names_in(section, settings, document) for section in ("transports", "topics", "staff"))
    found: list[Mistake] = []
    for name, transport in settings.transports.items():
        path = ("transports", name)
        found += [((*path, *place), f"transports.{name}: {text}", hint) for place, text, hint in _login(transport)]
        found += _twice(document, (*path, "warm_up", "domains"))
    found += [*_routes(settings, transports), *_twice(document, ("domains",)), *_webhooks(settings)]
    found += [*staff_mistakes(settings.staff, staff), *_replies(settings, staff)]
    found += form_mistakes(settings.forms, topics)
    found += pressure_mistakes(settings.pressure, topics)
    found += care_mistakes(settings.care, topics)
    found += calendar_mistakes(settings.calendar, staff)
    found += inquiry_mistakes(settings.inquiries, settings.tasks, staff)
    return [document.problem(path, text, hint) for path, text, hint in found]


def names_in(section: str, settings: "Settings", document: Document) -> frozenset[str]:
    """The entries of the section, right or wrong. Hints show them: of the wrong ones, which are not in `settings`, none
    that may be a password or an address is among them."""
    return frozenset({*getattr(settings, section), *filter(SIMPLE_NAME.fullmatch, document.names(section))})


def _replies(settings: "Settings", staff: Collection[str]) -> Iterator[Mistake]:
    """Whoever gets replies is somebody."""
    name = settings.feedback.replies_to
    if name is not None and name not in staff:
        text = f"feedback.replies_to: {name!r} is no entry of staff"
        yield ("feedback", "replies_to"), text, did_you_mean(name, staff)


def _webhooks(settings: "Settings") -> Iterator[Mistake]:
    """What two providers send is protected by the connection alone, not by a signature over it (S-4.14, S-4.17)."""
    parts = urlsplit(settings.tracking.base_url)
    if parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost"):
        return
    for name in ("mailgun", "postmark"):
        if getattr(settings.webhooks, name) is not None:
            text = f"webhooks.{name}: tracking.base_url is not https, expected it for what {name} sends"
            yield ("webhooks", name), text, "give the pages an https address"


def _login(transport: Transport) -> Iterator[Mistake]:
    """How the connection becomes private, and who logs in."""
    parts = urlsplit(transport.url)
    is_named, has_password = bool(parts.username), bool(parts.password)
    if parts.path not in ("", "/") or parts.query:
        yield ("url",), "url ends in a path or a query, expected nothing after host and port", "remove it"
    if transport.auth is not None and (is_named or has_password):
        yield ("auth",), "there are two ways to log in, in url and under auth", "leave one of them out"
    elif is_named != has_password:
        yield ("url",), "url names only one of user and password", "give both or neither"
    if transport.tls == "none" and (is_named or has_password or transport.auth is not None):
        hint = "use tls: starttls or an smtps:// address, or leave user and password out"
        yield ("tls",), "got tls: none, but a password or token may travel inside TLS only", hint


def token_mistakes(settings: "Settings", document: Document, root: Path) -> list[Problem]:
    """The sources of access tokens that are not there, on this machine, in the workspace at `root`."""
    found = []
    for name, transport in settings.transports.items():
        source = transport.auth.xoauth2 if transport.auth is not None else None
        place = ("transports", name, "auth", "xoauth2")
        if source is not None and source.token_file and not (root / source.token_file).is_file():
            text = f"{'.'.join(place)}: there is no file at token_file"
            found.append(document.problem((*place, "token_file"), text, "a relative path begins at the workspace"))
        if source is not None and source.token_command and not _can_run(source.token_command, root):
            text = f"{'.'.join(place)}: token_command names no program that can be run here"
            found.append(document.problem((*place, "token_command"), text, "give its whole path"))
    return found


def _can_run(command: str, root: Path) -> bool:
    program = shlex.split(command)[0]
    return shutil.which(str(root / program) if "/" in program else program) is not None


def _routes(settings: "Settings", known: Collection[str]) -> Iterator[Mistake]:
    for name, ways in settings.routes.items():
        if name in known:
            yield ("routes", name), f"routes: {name!r} is a transport already, expected another name", ""
        for way in ways:
            if way not in known:
                text = f"routes.{name} names no transport {way!r}, expected one of `transports`"
                yield ("routes", name, way), text, did_you_mean(way, known)
        if all(weight == STANDBY for weight in ways.values()):
            yield ("routes", name), f"routes.{name} has only transports on standby, expected at least one weight", ""


def _twice(document: Document, path: tuple[str | int, ...]) -> Iterator[Mistake]:
    """Two spellings of one domain, of which one would silently not count."""
    section = document.content
    for part in path:
        section = section.get(part) if isinstance(section, dict) else None
    first: dict[str, str] = {}
    for spelled in section if isinstance(section, dict) else ():
        same = first.setdefault(_comparable(spelled), spelled)
        if same is not spelled:
            text = f"{'.'.join(map(str, path))}: {spelled!r} is the same domain as {same!r}"
            yield (*path, spelled), text, "keep one of them"


def _comparable(domain: str) -> str:
    try:
        return parse_address(f"x@{domain}").domain
    except AddressError:
        return domain
