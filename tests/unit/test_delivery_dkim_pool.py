"""Signing in threads, also in the daemonic processes that Celery's workers are."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from core.clock import SteppedClock
from delivery.dkim import Signer, SigningPool
from delivery.dkim.keys import SigningKey, new_key

CLOCK = SteppedClock(datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
SIGNER = Signer(
    tuple(SigningKey("paper.example", name, new_key(ed25519=name == "e")) for name in ("s", "e")), CLOCK
)  # fmt: skip
CONTENTS = [b"From: a@paper.example\r\nSubject: %d\r\n\r\nbody %d\r\n" % (number, number) for number in range(40)]
EXPECTED = [SIGNER.sign(content) for content in CONTENTS]


def signed_by(pool):
    """Every content as the pool signs it; the pool is closed."""
    futures = [pool.submit(SIGNER, content) for content in CONTENTS]
    signed = [future.result(timeout=30) for future in futures]
    pool.close()
    return signed


def test_pool_signs_as_the_signer_does():
    """
    Each future holds its own message, signed as `Signer.sign` signs it, however many threads there are.
    """
    assert [EXPECTED, EXPECTED] == [signed_by(SigningPool(threads)) for threads in (None, 4)]


def test_signer_may_be_shared_by_threads():
    """
    One signer used by many threads at once gives what it gives alone.
    """
    with ThreadPoolExecutor(8) as threads:
        assert EXPECTED == list(threads.map(SIGNER.sign, CONTENTS))


def test_closed_pool_cancels_what_nobody_waits_for():
    """
    `close` comes back at once when much is left to sign, and closing again does nothing.
    """
    pool = SigningPool(1)
    futures = [pool.submit(SIGNER, CONTENTS[0]) for _ in range(200)]
    pool.close()
    pool.close()

    assert all(future.done() for future in futures)
    assert futures[-1].cancelled()


def test_pool_made_before_a_fork_signs_in_a_daemonic_child():
    """
    A worker process forked after its pool was made, which may have no children of its own, signs as well.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    pool = SigningPool()
    child = context.Process(target=lambda: theirs.send(signed_by(pool)), daemon=True)
    child.start()
    theirs.close()
    signed = ours.recv() if ours.poll(30) else None
    child.join(10)

    assert EXPECTED == signed
    assert 0 == child.exitcode
