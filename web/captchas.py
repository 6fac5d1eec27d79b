"""Asking a service whether a form was filled in by a person: the request reCAPTCHA, hCaptcha and Turnstile share."""

import asyncio
import json
import time
import urllib.request
from http.client import HTTPResponse
from typing import Final
from urllib.parse import urlencode, urlsplit

from core.form_settings import Captcha
from web.threads import Threads

#: For one step of the talk, and for all of it: a service that sends a byte now and then is not waited for.
_TIMEOUT_S: Final = 3
_DEADLINE_S: Final = 5.0
_LARGEST: Final = 64_000
_LONGEST_ANSWER: Final = 8_000


async def is_person(
    threads: Threads, captcha: Captcha, answer: str, visitor: str | None, *, deadline_s: float = _DEADLINE_S
) -> bool:  # fmt: skip
    """Whether the service says so, in time, of the answer it gave the visitor's browser.

    False also when it cannot be reached: who is turned away can try again, and who is flooded cannot.
    """
    if not answer or len(answer) > _LONGEST_ANSWER:
        return False
    asking = threads.run(threads.captchas, lambda: _says_so(captcha, answer, visitor))
    try:
        return await asyncio.wait_for(asking, deadline_s)
    except TimeoutError:
        return False


def _says_so(captcha: Captcha, answer: str, visitor: str | None) -> bool:
    asked = {"secret": captcha.secret, "response": answer} | ({"remoteip": visitor} if visitor else {})
    request = urllib.request.Request(captcha.verify_url, urlencode(asked).encode())  # noqa: S310  a setting, http(s)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310  the same
            told = json.loads(_read(response))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("success") is True


def _read(response: HTTPResponse) -> bytes:
    """What comes within the deadline, for a thread's sake too."""
    read, until = b"", time.monotonic() + _DEADLINE_S
    while len(read) < _LARGEST and time.monotonic() < until:
        piece = response.read1(_LARGEST)
        if not piece:
            break
        read += piece
    return read


def origins(captcha: Captcha) -> tuple[str, ...]:
    """From where the form may load scripts, frames and styles."""
    parts = urlsplit(captcha.script)
    return (f"{parts.scheme}://{parts.netloc}", *captcha.origins)
