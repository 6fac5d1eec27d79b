"""What receivers answer, by domain and minute; and the cuts they ask for.

Owns `domain_tally`, `throttle.factor`, `throttle.factor_at` and `throttle.base_rate`. Counts are kept in the process
for a few seconds: with hundreds of domains in a batch, writing them each time took as long as a tenth of the batch.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from sqlalchemy import BIGINT, DOUBLE_PRECISION, Connection, RowMapping, Text, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from core.schema import domain_tally, throttle
from delivery.bounce_classes import BounceClass, bounce_class
from delivery.smtp import Outcome
from delivery.throttles import rows
from delivery.throttles.cuts import cut, factor_at, is_too_fast
from delivery.throttles.desk import Throttles, domain_key

_log = logging.getLogger("clarion.throttles")
#: Counts without a refusal among them are written this seldom.
WRITE_EVERY_S: Final = 5.0
#: How long a minute's counts are kept.
KEPT: Final = timedelta(hours=6)
_PRUNE_EVERY_S: Final = 600.0
#: Answers that are recorded together came in since the ones before, or in this time.
_LONGEST_BATCH_S: Final = 10.0
#: The least a cut begins from, in messages a second, for a domain without a rate of its own.
LEAST_BASE: Final = 1.0
_COUNT: Final = text("""
    INSERT INTO domain_tally (domain, minute, attempt_count, hard_count, first_at)
    SELECT new.domain, date_trunc('minute', clock_timestamp()), new.attempts, new.hard,
           clock_timestamp() - make_interval(secs => new.age)
    FROM unnest(:domains, :attempts, :hard, :ages) AS new (domain, attempts, hard, age) ORDER BY new.domain
    ON CONFLICT (domain, minute) DO UPDATE SET attempt_count = domain_tally.attempt_count + excluded.attempt_count,
                                               hard_count = domain_tally.hard_count + excluded.hard_count,
                                               first_at = least(domain_tally.first_at, excluded.first_at)
""").bindparams(
    bindparam("domains", type_=ARRAY(Text)),
    bindparam("attempts", type_=ARRAY(BIGINT)),
    bindparam("hard", type_=ARRAY(BIGINT)),
    bindparam("ages", type_=ARRAY(DOUBLE_PRECISION)),
)


@dataclass(slots=True)
class Tallies:
    """The answers one process has heard."""

    throttles: Throttles
    _attempts: Counter[str] = field(default_factory=Counter)
    _hard: Counter[str] = field(default_factory=Counter)
    _since: dict[str, float] = field(default_factory=dict)  # when the answers not written yet began to come
    _too_fast: set[str] = field(default_factory=set)  # domains yet to be slowed down
    _heard_at: float = field(default_factory=time.monotonic)
    _written_at: float = field(default_factory=time.monotonic)
    _pruned_at: float = field(default_factory=time.monotonic)

    def record(self, connection: Connection, answers: Iterable[tuple[str, Outcome]]) -> None:
        """The answers of servers, by recipient domain, are counted; domains that ask for it are served more slowly.

        Counts are in `domain_tally` at once when one of the answers is a hard refusal or asks to slow down.
        """
        too_fast: set[str] = set()
        hard = 0
        now = time.monotonic()
        began, self._heard_at = max(self._heard_at, now - _LONGEST_BATCH_S), now
        for domain, outcome in answers:
            if outcome.code is None:
                continue  # no server said it
            self._attempts[domain] += 1
            self._since.setdefault(domain, began)
            if bounce_class(outcome) is BounceClass.HARD:
                self._hard[domain] += 1
                hard += 1
            if is_too_fast(outcome):
                too_fast.add(domain)
        if hard or too_fast or time.monotonic() - self._written_at > WRITE_EVERY_S:
            self.write(connection)
        if too_fast or self._too_fast:
            self._too_fast = slow_down(connection, too_fast | self._too_fast, self.throttles)

    def copy(self) -> "Tallies":
        """The same counts, which stay when these are written: for a transaction that may fail."""
        return replace(
            self,
            _attempts=Counter(self._attempts),
            _hard=Counter(self._hard),
            _since=dict(self._since),
            _too_fast=set(self._too_fast),
        )

    def write(self, connection: Connection) -> None:
        """Nothing is left in the process: every count is in the table, and old minutes are not."""
        if self._attempts:
            domains = sorted(self._attempts)
            given = {
                "domains": domains,
                "attempts": [self._attempts[domain] for domain in domains],
                "hard": [self._hard[domain] for domain in domains],
                "ages": [time.monotonic() - self._since[domain] for domain in domains],
            }
            connection.execute(_COUNT, given)
        self._attempts.clear()
        self._hard.clear()
        self._since.clear()
        self._written_at = time.monotonic()
        if self._written_at - self._pruned_at > _PRUNE_EVERY_S:
            self._pruned_at = self._written_at
            prune(connection)


def prune(connection: Connection) -> None:
    """Only the last hours are left in `domain_tally`. Repeat: safe."""
    connection.execute(domain_tally.delete().where(domain_tally.c.minute < func.now() - KEPT))


def count_hard(connection: Connection, counts: Mapping[str, int]) -> None:
    """Hard bounces that came back as mail or as an event count beside the answers of this minute: the same messages
    were counted as attempts when a relay took them. `counts` is by recipient domain. Repeat: not safe."""
    if counts:
        domains = sorted(counts)
        given = {"domains": domains, "hard": [counts[domain] for domain in domains]}
        still = [0] * len(domains)
        connection.execute(_COUNT, given | {"attempts": still, "ages": still})


def slow_down(connection: Connection, domains: Iterable[str], throttles: Throttles) -> set[str]:
    """Each of the domains has half the rate it had; others keep theirs (S-1.30). Returned are those that somebody else
    is deciding about at this instant: their time is later. Repeat: safe within ten seconds."""
    listed = sorted(set(domains))
    locked = rows.lock_free(connection, [domain_key(domain) for domain in listed])
    for domain in listed:
        row = locked.get(domain_key(domain))
        if row is not None:
            _cut(connection, domain, row, throttles)
    throttles.look_again()
    return {domain for domain in listed if domain_key(domain) not in locked}


def _cut(connection: Connection, domain: str, row: RowMapping, throttles: Throttles) -> None:
    now, had = row["read_at"], float(row["factor"])
    factor = cut(had, row["factor_at"], now)
    if factor is None:
        return
    is_cut = factor_at(had, row["factor_at"], now) < 1
    base = row["base_rate"] if is_cut else recent_rate(connection, domain)
    values = {"factor": factor, "factor_at": now, "base_rate": base}
    connection.execute(update(throttle).where(throttle.c.key == domain_key(domain)).values(**values))
    rate = (throttles.configured(domain) or float(base)) * factor
    _log.warning("%s asked for less: %.2f messages a second from now on", domain, rate)


def recent_rate(connection: Connection, domain: str) -> float:
    """Messages a second to the domain in this minute and the one before, from the first of them on; at least one."""
    began = func.date_trunc("minute", func.clock_timestamp()) - timedelta(minutes=1)
    first = func.min(func.coalesce(domain_tally.c.first_at, domain_tally.c.minute))
    elapsed = func.extract("epoch", func.clock_timestamp() - first)
    query = select(func.sum(domain_tally.c.attempt_count), elapsed).where(
        domain_tally.c.domain == domain, domain_tally.c.minute >= began
    )
    count, seconds = connection.execute(query).one()
    return LEAST_BASE if count is None else max(LEAST_BASE, float(count) / max(float(seconds), 1.0))
