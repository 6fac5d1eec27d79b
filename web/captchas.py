"""Asking a service whether a form was filled in by a person: the request reCAPTCHA, hCaptcha and Turnstile share."""

import json
import urllib.request
from typing import Final
from urllib.parse import urlencode, urlsplit

from core.form_settings import Captcha

_TIMEOUT_S: Final = 5
_LARGEST: Final = 64_000
_LONGEST_ANSWER: Final = 8_000


def is_person(captcha: Captcha, answer: str, visitor: str | None) -> bool:
    """Whether the service says so of the answer it gave the visitor's browser.

    False also when it cannot be reached: who is turned away can try again, and who is flooded cannot.
    """
    if not answer or len(answer) > _LONGEST_ANSWER:
        return False
    asked = {"secret": captcha.secret, "response": answer} | ({"remoteip": visitor} if visitor else {})
    request = urllib.request.Request(captcha.verify_url, urlencode(asked).encode())  # noqa: S310  a setting, http(s)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310  the same
            told = json.loads(response.read(_LARGEST))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("success") is True


def policy(captcha: Captcha) -> str:
    """What the Content-Security-Policy of the form has to allow."""
    parts = urlsplit(captcha.script)
    origin = f"{parts.scheme}://{parts.netloc}"
    return f"script-src {origin}; frame-src {origin}; connect-src {origin}"
