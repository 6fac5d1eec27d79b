"""Signing beside the event loop, so that it never waits for a signature.

RSA-2048 costs about half a millisecond. `cryptography` releases Python's lock meanwhile, so threads suffice: on two
idle processors one thread signs in 544 µs, two in 309 µs a message. Ed25519 costs a tenth, too little for threads to
gain anything (`bench/dkim.py`).
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from delivery.dkim.signer import Signer

_MOST_THREADS: Final = 8


class SigningPool:
    """Threads that sign. They start with the first message, so a pool may be made before its process forks.

    `threads`: None takes as many as the process may use processors, at most eight.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._executor = ThreadPoolExecutor(threads or min(_processors(), _MOST_THREADS), thread_name_prefix="dkim")

    def submit(self, signer: Signer, content: bytes) -> Future[bytes]:
        """The signed message, when it is ready."""
        return self._executor.submit(signer.sign, content)

    def close(self) -> None:
        """What was submitted is signed or cancelled, and the threads are gone. Repeat: safe."""
        self._executor.shutdown(cancel_futures=True)


def _processors() -> int:
    has_affinity = hasattr(os, "sched_getaffinity")  # not on every system
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
