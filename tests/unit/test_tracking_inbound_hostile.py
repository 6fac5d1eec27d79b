"""Mails that are made to break their readers cost little time and memory, whatever is in them (S-4.9)."""

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from tests.hostile_mails import HOSTILE
from tracking.inbound.proof import Prover
from tracking.inbound.reading import read
from tracking.return_paths import ReturnPaths
from tracking.tokens import Signer

PROVER = Prover(Signer(b"x" * 32), {"b.example": ReturnPaths(b"x" * 32, "b.example")})
MEGABYTE = 1_000_000


def memory(raw: bytes) -> int:
    """Bytes beyond the mail's own that it takes at most to read it and ask whose it is."""
    tracemalloc.start()
    PROVER.prove(read(raw), "x@b.example")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_is_read_within_bounds(name):
    """
    Every hostile mail is read without an error, in memory that does not grow with it once its parts are too many.
    """
    make, _ = HOSTILE[name]
    memory(make(1000))  # what is loaded once
    small = memory(make(4 * MEGABYTE))
    large = memory(make(8 * MEGABYTE))

    assert max(small, large) < 10 * MEGABYTE
    assert large < small + MEGABYTE


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_of_the_largest_size_is_read_in_seconds(name):
    """
    25 MB, the largest that is read by default, cost less than 2 s of processor time (measured: 0.1 s at most).
    """
    raw = HOSTILE[name][0](25 * MEGABYTE)
    began = time.process_time()
    PROVER.prove(read(raw), "x@b.example")

    assert time.process_time() - began < 2


@pytest.mark.parametrize("name", [name for name, (_, is_strange) in HOSTILE.items() if is_strange])
def test_hostile_mail_beyond_a_limit_says_which(name):
    """
    What could not be read to its end is said in words.
    """
    assert read(HOSTILE[name][0](MEGABYTE)).mail.flaws


def test_random_bytes_are_read():
    """
    Bytes without any sense are read, too, at every length.
    """
    for length in (0, 1, 10, 100, 10_000, MEGABYTE):
        assert 1 == len(read(os.urandom(length)).findings)


@pytest.mark.realdata
def test_real_bounces_torn_anywhere_are_read():
    """
    Real mails cut off after any share of their bytes, or with bytes replaced, are read without an error.
    """
    folder = Path(__file__).parents[3] / "shared/data/bounces"
    if not folder.is_dir():
        pytest.skip("the data sets are not beside the repository")
    for path in sorted(folder.glob("*.txt"))[::4]:
        raw = path.read_bytes()
        for tenth in range(1, 10, 2):
            cut = len(raw) * tenth // 10
            assert read(raw[:cut]).findings
            assert read(raw[:cut] + os.urandom(40) + raw[cut + 40 :]).findings
