"""One process that sends one constant message over and over by `smtplib` or `aiosmtplib`; started by `rivals`.

    python -m bench.sending.python_clients smtplib PORT CONNECTIONS MESSAGES BYTES

It says `ready` when everything is imported, begins at the first line it reads, and says `done` after the last answer.
The message is the same for everybody and made beforehand: nothing is rendered, looked up or recorded.
"""

import asyncio
import itertools
import smtplib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

_FROM = "offers@paper.example"
_HEADERS = b"From: offers@paper.example\r\nSubject: constant\r\n\r\n"
_LINE = b"x" * 76 + b"\r\n"


def content_of(size: int) -> bytes:
    """A message of about `size` bytes."""
    return _HEADERS + _LINE * max(1, (size - len(_HEADERS)) // len(_LINE))


def run_smtplib(port: int, connections: int, messages: int, content: bytes) -> None:
    """A thread per connection; each keeps its connection."""
    numbers = iter(range(messages))
    with ThreadPoolExecutor(connections) as threads:
        sending = [threads.submit(_send_all, port, numbers, content) for _ in range(connections)]
        for one in sending:
            one.result()


def _send_all(port: int, numbers: Iterator[int], content: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port) as client:
        for number in numbers:  # shared by the threads: whoever is free takes the next
            client.sendmail(_FROM, [f"c{number}@customers.example"], content)


async def run_aiosmtplib(port: int, connections: int, messages: int, content: bytes) -> None:
    """A task per connection; each keeps its connection."""
    import aiosmtplib

    numbers = itertools.count()

    async def send_all() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            while (number := next(numbers)) < messages:
                await client.sendmail(_FROM, [f"c{number}@customers.example"], content)

    await asyncio.gather(*(send_all() for _ in range(connections)))


def main() -> None:
    kind = sys.argv[1]
    port, connections, messages, size = (int(argument) for argument in sys.argv[2:])
    content = content_of(size)
    if kind == "aiosmtplib":
        import aiosmtplib  # noqa: F401  before the clock starts
        import uvloop
    print("ready", flush=True)
    sys.stdin.readline()
    if kind == "aiosmtplib":
        uvloop.run(run_aiosmtplib(port, connections, messages, content))
    else:
        run_smtplib(port, connections, messages, content)
    print("done", flush=True)


if __name__ == "__main__":
    main()
