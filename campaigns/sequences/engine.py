"""How passages go on: what is due is claimed, moved from step to step, and written, a few statements for each step.

A pass carries people through as many steps as are due at once; steps only lead forward, so one walk along the file's
order does. Everything of a pass is one transaction: messages, tasks and calls are there exactly if the steps are done.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text, update
from sqlalchemy.exc import DBAPIError

from campaigns.duty import Circumstances
from campaigns.sequences import actions, passages, sending, versions
from campaigns.sequences.definition import Step
from campaigns.sequences.passages import Done, EnrolmentState, Journal, Passage
from campaigns.sequences.sending import Post
from campaigns.sequences.versions import Standing
from campaigns.sequences.waits import Clock
from core.database import is_gone
from core.errors import EngineError, PlanError
from core.people_lock import people_stay
from core.schema import sequence
from segments.membership import passing, rule
from segments.waking import wakers

_log = logging.getLogger("clarion.sequences")
#: Passages claimed in one transaction: a pause waits for no more than these.
AT_ONCE: Final = 20_000
_FEWEST: Final = 500
#: After them it is asked anew whether the passage is to go on at all. Other steps only choose the way, at one instant.
_ACTING: Final = frozenset({"send", "task", "update", "webhook"})

# A sequence that is being paused at this instant is left alone; one that was claimed is paused after this pass.
_DUE: Final = text("""
    SELECT name FROM sequence
    WHERE state = 'active'
      AND EXISTS (SELECT FROM enrolment AS e WHERE e.sequence = name AND e.state = 'active' AND e.due_at <= :now)
    ORDER BY name FOR SHARE SKIP LOCKED
""")


def advance(connection: Connection, around: Circumstances, now: datetime) -> int:
    """Some of the passages that are due have gone on; how many. One sequence's fault does not hold up the others.

    Repeat: safe, also in several processes at once. Atomic with the connection's transaction.
    """
    people_stay(connection)
    names = list(connection.execute(_DUE, {"now": now}).scalars())
    most = max(AT_ONCE // max(len(names), 1), _FEWEST)
    return sum(_advance_guarded(connection, around, name, now, most) for name in names)


def _advance_guarded(connection: Connection, around: Circumstances, name: str, now: datetime, most: int) -> int:
    try:
        with connection.begin_nested():
            return _advance_one(connection, around, name, now, most)
    except Exception as error:  # said on the sequence, logged, and tried again at the next tick
        if isinstance(error, DBAPIError) and is_gone(error):
            raise
        _log.exception("sequence %s could not go on", name)
        fault = error.message if isinstance(error, EngineError) else type(error).__name__
        connection.execute(update(sequence).where(sequence.c.name == name).values(fault=fault))
        return 0


def _advance_one(connection: Connection, around: Circumstances, name: str, now: datetime, most: int) -> int:
    claimed = passages.claim(connection, name, now, most)
    for version_id, people in sorted(claimed.items()):
        standing = versions.fetch(connection, version_id)
        _Pass(Post(connection, standing, now, around.policy, around.settings.workers.batch_size), around).carry(people)
    healed = update(sequence).where(sequence.c.name == name, sequence.c.fault.is_not(None)).values(fault=None)
    connection.execute(healed)
    return sum(map(len, claimed.values()))


class _Pass:
    """People of one version on their way."""

    def __init__(self, post: Post, around: Circumstances) -> None:
        self._post, self._around = post, around
        self._connection, self._now = post.connection, post.now
        self._standing: Standing = post.standing
        self._definition = post.standing.definition
        self._clock = Clock(post.standing.version.zone, post.now)
        self._journal = Journal(post.now)
        self._at: dict[str, list[Passage]] = {}

    def carry(self, people: Sequence[Passage]) -> None:
        """They are where the sequence lets them be now."""
        for passage in people:
            self._at.setdefault(passage.step, []).append(passage)
        if lost := sorted(set(self._at) - set(self._definition.steps)):
            raise PlanError(f"{self._standing.sequence}: people wait at {', '.join(lost)}, which is no step of theirs")
        for name in self._definition.order:
            if here := self._at.pop(name, None):
                self._step(name, self._definition.steps[name], here)
        self._journal.write(self._connection)

    def _step(self, name: str, step: Step, people: list[Passage]) -> None:
        people = self._who_did_not(name, people)
        if step.wait is not None:
            for passage in (each for each in people if each.has_come):
                rest = self._clock.rest(step, passage.zone, passage.nominal)
                self._journal.rests(passage, nominal=rest.nominal, due_at=rest.due_at)
            people = [each for each in people if not each.has_come]
        gone = self._leave([each for each in people if not each.is_asked])
        people = [each for each in people if each.id not in gone]
        if not people:
            return
        if step.action in _ACTING:  # what was done may be what `exit_when` asks for
            for passage in people:
                passage.is_asked = False
        _ACT[step.action](self, name, step, people)

    def _who_did_not(self, name: str, people: Sequence[Passage]) -> list[Passage]:
        """The people, less those who did the step before an edit brought them back to it: they pass over it."""
        before = passages.did_before(self._connection, name, _ids(people))
        for passage in (each for each in people if each.id in before):
            self._go(passage, self._definition.following[name])
        return [each for each in people if each.id not in before]

    # --- leaving ---------------------------------------------------------------------------------------------

    def _leave(self, people: Sequence[Passage]) -> frozenset[int]:
        """Those who reached the goal or fit `exit_when` are out; their ids."""
        goal, rules = self._definition.goal, []
        if goal is not None and goal.ends:
            rules.append(("goal", actions.reached(goal.event)))
        if self._definition.exit_when is not None:
            rules.append(("exit_when", self._definition.exit_when))
        for passage in people:
            passage.is_asked = True
        gone: set[int] = set()
        for because, condition in rules:
            left = [each for each in people if each.id not in gone]
            fit = self._fitting(condition, left)
            for passage in (each for each in left if each.id in fit):
                self._journal.ends(passage, because)
            gone |= fit
        return frozenset(gone)

    def _fitting(self, condition: str, people: Sequence[Passage]) -> frozenset[int]:
        """Those for whom the rule holds."""
        if not people:
            return frozenset()
        rows = passages.rows_of(_ids(people)).cte("passage").prefix_with("MATERIALIZED")
        query = passing(condition, self._standing.version.vocabulary, rows, now=self._now)
        found: Iterable[Any] = self._connection.execute(query).scalars()
        return frozenset(found)

    # --- going on --------------------------------------------------------------------------------------------

    def _did(self, passage: Passage, outcome: str, to: str | None) -> None:
        self._journal.did(passage, Done(outcome))
        self._go(passage, to)

    def _go(self, passage: Passage, to: str | None) -> None:
        if to is None:
            self._journal.ends(passage, "completed", EnrolmentState.COMPLETED)
            return
        passage.step, passage.has_come = to, True
        self._at.setdefault(to, []).append(passage)

    # --- what steps do ---------------------------------------------------------------------------------------

    def send(self, name: str, _step: Step, people: Sequence[Passage]) -> None:
        first: dict[int, Passage] = {}
        for passage in people:
            if first.setdefault(passage.customer_id, passage) is not passage and passage.has_come:
                # One message at a time: caps and twins are decided by customer. The next pass has the other one.
                self._journal.rests(passage, nominal=passage.nominal, due_at=self._now)
        for passage, done in zip(first.values(), sending.send(self._post, name, [*first.values()]), strict=True):
            self._journal.did(passage, done)
            self._go(passage, self._definition.following[name])

    def wait(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        wait = step.wait
        assert wait is not None  # noqa: S101  as the table says
        if wait.rule is None:
            for passage in people:
                self._did(passage, "waited", self._definition.following[name])
            return
        fit = self._fitting(wait.rule, people)
        is_told = wakers(rule(wait.rule, self._standing.version.vocabulary)).alone
        for passage in people:
            if passage.id in fit:
                passage.nominal = self._now
                self._did(passage, "came_true", self._definition.following[name])
            elif passage.nominal <= self._now:
                self._did(passage, "timed_out", wait.on_timeout or self._definition.following[name])
            else:
                look_at = self._clock.next_look(wait, passage.nominal, is_told=is_told)
                self._journal.rests(passage, nominal=passage.nominal, due_at=look_at)

    def branch(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        left = list(people)
        for fork in step.branch or ():
            fit = frozenset(_ids(left)) if fork.when is None else self._fitting(fork.when, left)
            for passage in (each for each in left if each.id in fit):
                self._did(passage, f"went:{fork.go}", fork.go)
            left = [each for each in left if each.id not in fit]
        for passage in left:
            self._did(passage, "no_fork_fits", self._definition.following[name])

    def split(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        for passage in people:
            to = arm(step.split or {}, self._standing.sequence, name, passage.customer_id)
            self._did(passage, f"went:{to}", to)

    def task(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        self._done_by(actions.give_tasks, "task", name, step, people)

    def update(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        self._done_by(actions.set_attributes, "updated", name, step, people)

    def webhook(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        self._done_by(actions.order_calls, "webhook", name, step, people)

    def exit(self, _name: str, step: Step, people: Sequence[Passage]) -> None:
        for passage in people:
            self._journal.did(passage, Done("exit"))
            self._journal.ends(passage, f"exit:{step.exit}")

    def _done_by(self, act: "actions.Action", outcome: str, name: str, step: Step, people: Sequence[Passage]) -> None:
        act(self._post, self._around, name, step, people)
        for passage in people:
            self._did(passage, outcome, self._definition.following[name])


_ACT: Final[Mapping[str, Callable[[_Pass, str, Step, Sequence[Passage]], None]]] = {
    "send": _Pass.send,
    "wait": _Pass.wait,
    "branch": _Pass.branch,
    "split": _Pass.split,
    "task": _Pass.task,
    "update": _Pass.update,
    "webhook": _Pass.webhook,
    "exit": _Pass.exit,
}


def _ids(people: Sequence[Passage]) -> list[int]:
    return [passage.id for passage in people]


def arm(shares: Mapping[str, float], sequence_name: str, step: str, customer_id: int) -> str:
    """Where chance leads this customer at this step: always the same way."""
    digest = hashlib.blake2b(f"{sequence_name}|{step}|{customer_id}".encode(), digest_size=8).digest()
    drawn, reached = int.from_bytes(digest) / 2**64, 0.0
    names = sorted(shares)  # the database forgets the order of the file
    for name in names:
        reached += shares[name]
        if drawn < reached:
            return name
    return names[-1]
