"""How passages go on: what is due is claimed, moved from step to step, and written, a few statements for each step.

A pass carries people through as many steps as are due at once; steps only lead forward, so one walk along the file's
order does. Everything of a pass is one transaction: messages, tasks and calls are there exactly if the steps are done.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection, text

from campaigns import duplicates
from campaigns.duty import Circumstances
from campaigns.sequences import actions, asking, passages, recall, records, sending, versions
from campaigns.sequences.passages import EnrolmentState, Journal, Passage
from campaigns.sequences.sending import Post
from campaigns.sequences.steps import Step
from campaigns.sequences.versions import Standing
from campaigns.sequences.waits import Clock
from core.errors import PlanError
from core.people_lock import people_stay

#: Passages claimed in one transaction: a pause waits for no more than these.
AT_ONCE: Final = 20_000
_FEWEST: Final = 500
#: Customers in somebody else's hands, such as an import's, are come back to.
_AGAIN_AFTER: Final = timedelta(seconds=10)
#: After them it is asked anew whether the passage is to go on at all. Other steps only choose the way, at one instant.
_ACTING: Final = frozenset({"send", "task", "update", "webhook"})

# A sequence that is being paused at this instant, or is in another pass's hands, is left alone; one that was claimed is
# paused after this pass. The lock is the one that noting its fault needs: two that raise a weaker one wait for ever.
_OF_DUE: Final = """
    FROM sequence
    WHERE state = 'active'
      AND (EXISTS (SELECT FROM enrolment AS e WHERE e.sequence = name AND e.state = 'active' AND e.due_at <= :now)
           OR EXISTS (SELECT FROM sequence_look AS l WHERE l.sequence = name AND l.look_at <= :now))
"""
_DUE: Final = text(f"SELECT name {_OF_DUE} ORDER BY name FOR NO KEY UPDATE SKIP LOCKED")
#: A passage is due, or a rule that is waited for is to be asked.
IS_DUE: Final = f"EXISTS (SELECT {_OF_DUE})"


def advance(connection: Connection, around: Circumstances, now: datetime) -> int:
    """Some of the passages that are due have gone on; how many. One sequence's fault does not hold up the others.

    Repeat: safe, also in several processes at once. Atomic with the connection's transaction.
    """
    people_stay(connection)
    names = list(connection.execute(_DUE, {"now": now}).scalars())
    duplicates.lock_pieces_of(connection, names)
    most = max(AT_ONCE // max(len(names), 1), _FEWEST)
    return sum(
        records.guarded(connection, name, partial(_advance_one, connection, around, name, now, most)) for name in names
    )


def _advance_one(connection: Connection, around: Circumstances, name: str, now: datetime, most: int) -> int:
    asking.look(connection, around, name, now)
    claimed = passages.claim(connection, name, now, most)
    for version_id, people in sorted(claimed.items()):
        standing = versions.fetch(connection, version_id)
        _Pass(Post(connection, standing, now, around.policy, around.settings.workers.batch_size), around).carry(people)
    records.heal(connection, name)
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
        self._left: list[int] = []  # who reached the goal, or fit `exit_when`
        self._had: Mapping[str, Set[int]] = {}  # step → who did it before an edit brought them back

    def carry(self, people: Sequence[Passage]) -> None:
        """They are where the sequence lets them be now."""
        for passage in people:
            self._at.setdefault(passage.step, []).append(passage)
        if lost := sorted(set(self._at) - set(self._definition.steps)):
            raise PlanError(f"{self._standing.sequence}: people wait at {', '.join(lost)}, which is no step of theirs")
        first = min(map(self._definition.order.index, self._at))
        self._had = passages.did_before(self._connection, self._definition.order[first:], _ids(people))
        for name in self._definition.order[first:]:
            if here := self._at.pop(name, None):
                self._step(name, self._definition.steps[name], here)
        self._journal.write(self._connection)
        recall.call_back(self._connection, self._left, self._now)

    def _step(self, name: str, step: Step, people: list[Passage]) -> None:
        people = self._who_did_not(name, people)
        if step.wait is not None:
            for passage in (each for each in people if each.has_come):
                rest = self._clock.arrival(step, passage.zone, passage.nominal)
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
        before = self._had.get(name)
        if not before:
            return list(people)
        self._go([each for each in people if each.id in before], self._definition.following[name])
        return [each for each in people if each.id not in before]

    # --- leaving ---------------------------------------------------------------------------------------------

    def _leave(self, people: Sequence[Passage]) -> frozenset[int]:
        """Those who reached the goal or fit `exit_when` are out; their ids."""
        rules = actions.leaving_rules(self._definition)
        for passage in people:
            passage.is_asked = True
        fit = self._fitting([condition for _, condition in rules], people)
        for passage in (each for each in people if each.id in fit):
            self._journal.ends(passage, rules[fit[passage.id]][0])
        self._left += fit
        return frozenset(fit)

    def _fitting(self, conditions: Sequence[str], people: Sequence[Passage]) -> Mapping[int, int]:
        vocabulary = self._standing.version.vocabulary
        return passages.fitting(self._connection, vocabulary, conditions, _ids(people), self._now)

    # --- going on --------------------------------------------------------------------------------------------

    def _did(self, people: Sequence[Passage], outcome: str, to: str | None) -> None:
        self._journal.did(people, outcome)
        self._go(people, to)

    def _go(self, people: Sequence[Passage], to: str | None) -> None:
        if to is None:
            for passage in people:
                self._journal.ends(passage, "completed", EnrolmentState.COMPLETED)
            return
        for passage in people:
            passage.step, passage.has_come = to, True
        self._at.setdefault(to, []).extend(people)

    # --- what steps do ---------------------------------------------------------------------------------------

    def send(self, name: str, _step: Step, people: Sequence[Passage]) -> None:
        first: dict[int, Passage] = {}
        for passage in people:
            if first.setdefault(passage.customer_id, passage) is not passage and passage.has_come:
                # One message at a time: caps and twins are decided by customer. The next pass has the other one.
                self._journal.rests(passage, nominal=passage.nominal, due_at=self._now)
        for sent in sending.send(self._post, name, [*first.values()]):
            self._journal.did(sent.people, sent.outcome, sent.message_ids)
            self._go(sent.people, self._definition.following[name])

    def wait(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        wait = step.wait
        assert wait is not None  # noqa: S101  as the table says
        if wait.rule is None:
            self._did(people, "waited", self._definition.following[name])
            return
        fit = self._fitting([wait.rule], people)
        came_true = [each for each in people if each.id in fit]
        for passage in came_true:
            passage.nominal = self._now
        self._did(came_true, "came_true", self._definition.following[name])
        left = [each for each in people if each.id not in fit]
        too_late = [each for each in left if each.nominal <= self._now]
        self._did(too_late, "timed_out", wait.on_timeout or self._definition.following[name])
        stays = [each for each in left if each.nominal > self._now]
        for passage in stays:
            self._journal.rests(passage, nominal=passage.nominal, due_at=passage.nominal)
        if stays and asking.asked_at(self._standing, name) is not None:
            look_at = self._now + asking.apart([wait], self._around)
            asking.expect(self._connection, self._standing.sequence, name, look_at)

    def branch(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        left = list(people)
        for fork in step.branch or ():
            fit = frozenset(_ids(left)) if fork.when is None else self._fitting([fork.when], left)
            self._did([each for each in left if each.id in fit], f"went:{fork.go}", fork.go)
            left = [each for each in left if each.id not in fit]
        self._did(left, "no_fork_fits", self._definition.following[name])

    def split(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        arms: dict[str, list[Passage]] = {}
        for passage in people:
            to = arm(step.split or {}, self._standing.sequence, name, passage.customer_id)
            arms.setdefault(to, []).append(passage)
        for to, those in arms.items():
            self._did(those, f"went:{to}", to)

    def task(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        self._done_by(actions.give_tasks, "task", name, step, people)

    def update(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        was_set = actions.set_attributes(self._post, step, people)
        for passage in (each for each in people if each.customer_id not in was_set):
            self._journal.rests(passage, nominal=passage.nominal, due_at=self._now + _AGAIN_AFTER)
        done = [each for each in people if each.customer_id in was_set]
        self._did(done, "updated", self._definition.following[name])

    def webhook(self, name: str, step: Step, people: Sequence[Passage]) -> None:
        self._done_by(actions.order_calls, "webhook", name, step, people)

    def exit(self, _name: str, step: Step, people: Sequence[Passage]) -> None:
        self._journal.did(people, "exit")
        for passage in people:
            self._journal.ends(passage, f"exit:{step.exit}")

    def _done_by(self, act: "actions.Action", outcome: str, name: str, step: Step, people: Sequence[Passage]) -> None:
        act(self._post, self._around, name, step, people)
        self._did(people, outcome, self._definition.following[name])


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
