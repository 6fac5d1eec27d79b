"""Access tokens for XOAUTH2: fetched when they are needed, kept in memory only, never shown (S-1.26, S-1.27)."""

import asyncio
import shlex
import subprocess
from pathlib import Path
from typing import Final

from core.smtp_settings import Xoauth2
from delivery.smtp.faults import TransportFault

_PATIENCE_S: Final = 30


class TokenSource:
    """The access token of one account, from a command's output or from a file that something else keeps fresh."""

    def __init__(self, settings: Xoauth2, folder: Path) -> None:
        self._command = shlex.split(settings.token_command or "")
        self._file = folder / settings.token_file if settings.token_file else None
        self._folder = folder
        self._token: str | None = None
        self._lock = asyncio.Lock()

    async def token(self, *, refused: str | None = None) -> str:
        """The token; fetched if there is none yet, or if the one there is was `refused`.

        Raises:
            TransportFault: there is none to be had.
        """
        async with self._lock:
            if self._token is None or self._token == refused:
                self._token = await asyncio.to_thread(self._fetched)
            return self._token

    def _fetched(self) -> str:
        text = self._from_command() if self._command else self._from_file()
        token = text.strip().partition("\n")[0].strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise _fault("what was fetched is no token (expected one word in the first line)")
        return token

    def _from_command(self) -> str:
        try:
            done = subprocess.run(  # the operator's own command, and no shell
                self._command, cwd=self._folder, capture_output=True, text=True, timeout=_PATIENCE_S,
                stdin=subprocess.DEVNULL, check=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise _fault(f"token_command gave nothing within {_PATIENCE_S} seconds") from None
        except subprocess.CalledProcessError as error:
            raise _fault(f"token_command failed with exit code {error.returncode}") from None
        except OSError as error:
            raise _fault(f"token_command cannot be run: {error.strerror}", temporary=False) from None
        except UnicodeDecodeError:
            raise _fault("what token_command wrote is not UTF-8") from None
        return done.stdout

    def _from_file(self) -> str:
        if self._file is None:
            raise _fault("there is neither token_command nor token_file", temporary=False)
        try:
            return self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise _fault(f"token_file cannot be read: {why}", temporary=False) from None


def _fault(what: str, *, temporary: bool = True) -> TransportFault:
    return TransportFault(what, temporary=temporary, hint="see auth.xoauth2 of the transport")
