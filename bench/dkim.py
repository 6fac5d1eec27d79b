"""What signing costs, and whether threads sign beside a busy event loop.

python bench/dkim.py [--count 400]
"""

import argparse
import time
import timeit
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial

from delivery.dkim import Signer, SigningPool
from delivery.dkim.canonical import relaxed_body, split
from delivery.dkim.keys import SigningKey, new_key
from delivery.dkim.selection import selected
from delivery.message_bytes import Mail, write_message

_ROW = "<p>Dear friend, line {} of <a href='https://news.paper.example/c/k7f3x{}'>our offer</a></p>\n"
_THREADS = (0, 1, 2)  # none: inline
_ROUNDS = 7
_AHEAD = 50  # messages being signed while the next ones are rendered


def content_of(indent: str = "") -> bytes:
    """A bulk mail of about 7 KB."""
    mail = Mail(
        message_id="k7f3.1@paper.example",
        date=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
        sender_name="Paper & Co",
        sender_email="offers@paper.example",
        reply_to="help@paper.example",
        recipient_email="anna@customers.example",
        recipient_name="Anna",
        subject="Spring offers",
        text="Dear friend,\n" * 20,
        html="".join(indent + _ROW.format(line, line) for line in range(70)),
        headers=(("List-Unsubscribe", f"<https://news.paper.example/u/{'x' * 120}>"),),
    )
    return write_message(mail)


def micros(work: Callable[[], object], count: int) -> float:
    """Microseconds of processor time a call, the best of five rounds."""
    return min(timeit.repeat(work, number=count, repeat=5, timer=time.process_time)) / count * 1e6


def print_parts(count: int, content: bytes) -> None:
    """One row per part of the work."""
    head, body = split(content)
    indented = split(content_of(indent=" " * 12))[1]
    rsa, ed25519 = new_keys()
    parts = {
        "header fields chosen and canonical": lambda: selected(head),
        f"body canonical, {len(body)} octets": lambda: relaxed_body(body),
        f"body canonical, {len(indented)} octets, indented": lambda: relaxed_body(indented),
        "signed, Ed25519": partial(Signer((ed25519,)).sign, content),
        "signed, RSA-2048": partial(Signer((rsa,)).sign, content),
        "signed, both": partial(Signer((rsa, ed25519)).sign, content),
    }
    for name, work in parts.items():
        print(f"{name:44} {micros(work, count):8.1f} µs")


def new_keys() -> tuple[SigningKey, SigningKey]:
    """An RSA key and an Ed25519 key."""
    rsa, ed25519 = new_key(), new_key(ed25519=True)
    return SigningKey("paper.example", "s1", rsa), SigningKey("paper.example", "e1", ed25519)


def per_s(signer: Signer, content: bytes, count: int, threads: int, *, has_rendering: bool) -> float:
    """Messages a second; `has_rendering`: each also takes work that keeps Python's lock. No threads: signed inline."""
    pool = SigningPool(threads) if threads else None
    under_way: deque[Future[bytes]] = deque()
    started = time.perf_counter()
    for _ in range(count):
        if has_rendering:
            render()
        if pool is None:
            signer.sign(content)
        else:
            under_way.append(pool.submit(signer, content))
        if len(under_way) > _AHEAD:
            under_way.popleft().result()
    while under_way:
        under_way.popleft().result()
    seconds = time.perf_counter() - started
    if pool is not None:
        pool.close()
    return count / seconds


def render() -> int:
    """Pure Python work of about 250 µs."""
    return sum(len(str(number)) for number in range(2000))


def print_threads(count: int, content: bytes) -> None:
    """The best of some rounds, in which the variants take turns."""
    rsa, ed25519 = new_keys()
    print(f"{'keys':8} {'rendering':9} {'inline/s':>9} {'1 thread':>9} {'2 threads':>9}")
    for name, keys in {"RSA": (rsa,), "Ed25519": (ed25519,), "both": (rsa, ed25519)}.items():
        for has_rendering in (False, True):
            measure = partial(per_s, Signer(keys), content, count, has_rendering=has_rendering)
            rounds = [[measure(threads) for threads in _THREADS] for _ in range(_ROUNDS)]
            best = "".join(f" {max(figures):9.0f}" for figures in zip(*rounds, strict=True))
            print(f"{name:8} {'yes' if has_rendering else 'no':9}{best}")


def main() -> None:
    """Parts first, then threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=200)
    count = parser.parse_args().count
    content = content_of()
    print_parts(count, content)
    print(f"{'rendering stands in with':44} {micros(render, count):8.1f} µs")
    print_threads(count, content)


if __name__ == "__main__":
    main()
