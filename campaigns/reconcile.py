"""Messages in doubt are settled by what the mail server wrote down (S-1.33): nobody is mailed twice, nobody is lost.

That a message was never received is concluded from silence only when the operator says that the records cover the
whole time, their age bears that out, and they know the messages of the same run that were accepted.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BIGINT, Connection, Integer, Text, bindparam, delete, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from campaigns import refusals
from campaigns.again import send_again, take_out
from campaigns.doubts import Doubt
from campaigns.outcome_files import Outcome, Outcomes
from campaigns.states import State
from core import audit
from core.refusal_settings import Refusals
from core.schema import kept_content
from delivery.bounce_classes import bounce_class
from delivery.postfix_log import NEVER_TAKEN, Evidence, Log, Verdict
from delivery.smtp import Outcome as Answer
from delivery.smtp import OutcomeState

#: Who answers, as attempts show it.
WORKER: Final = "reconcile"
#: Times of traditional logs are whole seconds.
_TICK: Final = timedelta(seconds=2)
#: A message that was put off waits so long at least (`campaigns.retry_waits`): so far apart two clocks may be.
_SHORTEST_WAIT: Final = timedelta(seconds=27)
_WHAT_TO_DO: Final = "say never_received in a file of outcomes, or see `clarion retry --unknown`"


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one message, and the words it rests on."""

    doubt: Doubt
    state: State
    at: datetime | None
    words: str
    code: int | None = None
    enhanced: str | None = None


@dataclass(slots=True)
class Findings:
    """What the records say of the messages in doubt."""

    found: list[Finding] = field(default_factory=list)
    open: Counter[str] = field(default_factory=Counter)  # messages still in doubt, by the reason


_BY_VERDICT: Final[Mapping[Verdict, State]] = {
    Verdict.DELIVERED: State.DELIVERED, Verdict.BOUNCED: State.BOUNCED, Verdict.ACCEPTED: State.ACCEPTED,
    Verdict.REJECTED: State.FAILED, Verdict.PUT_OFF: State.PLANNED, Verdict.BROKEN_OFF: State.PLANNED,
}  # fmt: skip
_BY_OUTCOME: Final[Mapping[Outcome, State]] = {
    Outcome.ACCEPTED: State.ACCEPTED, Outcome.DEFERRED: State.ACCEPTED, Outcome.DELIVERED: State.DELIVERED,
    Outcome.BOUNCED: State.BOUNCED, Outcome.FAILED: State.FAILED, Outcome.REJECTED: State.FAILED,
    Outcome.NEVER_RECEIVED: State.PLANNED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the messages of a run that were accepted say of records: are they the right ones, and whole?"""

    borne_out: frozenset[int] = frozenset()  #: runs whose accepted messages are in them
    belied: frozenset[int] = frozenset()  #: runs of which they lack some


def testimony(witnesses: Sequence[Doubt], recorded: Container[str], first: datetime, last: datetime) -> Testimony:
    """What those of the witnesses say that were accepted between the two instants; `recorded` are Message-IDs."""
    within = [one for one in witnesses if first <= one.until <= last]
    belied = frozenset(one.run_id for one in within if one.message_id not in recorded)
    return Testimony(frozenset(one.run_id for one in within) - belied, belied)


def by_log(doubts: Sequence[Doubt], log: Log, *, complete: bool, heard: Testimony = Testimony()) -> Findings:
    """What a mail log says. `heard`: of messages that were accepted in its time."""
    findings = Findings()
    for doubt in doubts:
        evidence = log.evidence.get(doubt.message_id)
        finding = None
        if evidence is not None:
            finding, reason = _by_evidence(doubt, evidence), "begun, and the log does not say how it ended"
        elif not (reason := _why_open(doubt, "log", complete=complete, covered=_covers(log, doubt), heard=heard)):
            words = f"the server never received it: not in its log of {log.first_at:%F %T} to {log.last_at:%F %T %Z}"
            finding = Finding(doubt, State.PLANNED, None, words)
        _conclude(findings, doubt, finding, reason)
    return findings


def _conclude(findings: Findings, doubt: Doubt, finding: Finding | None, reason: str) -> None:
    """The message is found, or, if it is in doubt, left for the reason."""
    if finding is not None:
        findings.found += [finding] if _says_more(finding) else []
    elif doubt.state == State.UNKNOWN:
        findings.open[reason] += 1


def _says_more(finding: Finding) -> bool:
    """Of messages that are not in doubt only what the receiving server did says more than is known."""
    known = finding.doubt.state
    return known == State.UNKNOWN or (finding.state in (State.DELIVERED, State.BOUNCED) and finding.state != known)


def _why_open(doubt: Doubt, record: str, *, complete: bool, covered: bool, heard: Testimony) -> str:
    """Why nothing is concluded from the record's silence; empty if it says that the message was never received."""
    if not complete:
        return f"not in the {record}"
    if not covered:
        return f"not in the {record}, which does not cover the time of its hand-over"
    if doubt.run_id in heard.belied:
        return f"not in the {record}, which lacks accepted messages of the same run too"
    if doubt.run_id not in heard.borne_out:
        return f"not in the {record}, and no accepted message of the same run shows that it should be: {_WHAT_TO_DO}"
    return ""


def _by_evidence(doubt: Doubt, evidence: Evidence) -> Finding | None:
    """None: it says nothing about the hand-over that is in doubt, or not enough."""
    state = _BY_VERDICT.get(evidence.verdict)
    begun_at = doubt.since + _SHORTEST_WAIT if doubt.was_put_off else doubt.since
    if state is None or (evidence.verdict in NEVER_TAKEN and evidence.at < begun_at - _TICK):
        return None  # an earlier attempt was refused: that is known already
    words = f"the mail log: {evidence.words or evidence.verdict.replace('_', ' ')}"
    return Finding(doubt, state, evidence.at, words, evidence.code, evidence.enhanced)


def _covers(log: Log, doubt: Doubt) -> bool:
    """The log begins before the hand-over can have begun, and goes on until it was known to have no answer.

    One that ends sooner may have been copied, or flushed, before the server wrote what it took: nothing is concluded.
    """
    if log.first_at is None or log.last_at is None:
        return False
    return log.first_at <= doubt.since and doubt.until <= log.last_at + _TICK


def by_outcomes(
    doubts: Sequence[Doubt], outcomes: Outcomes, *, complete: bool, written_at: datetime, heard: Testimony = Testimony()
) -> Findings:
    """What a file of outcomes says. `heard`: of messages that were accepted before it was written."""
    findings = Findings()
    for doubt in doubts:
        outcome, covered = outcomes.found.get(doubt.message_id), doubt.until <= written_at
        if outcome is None:
            reason = _why_open(doubt, "file", complete=complete, covered=covered, heard=heard)
            state, words = State.PLANNED, "the server never received it: not in a complete file of outcomes"
        else:
            state, words = _BY_OUTCOME[outcome], f"a file of outcomes: {outcome.replace('_', ' ')}"
            is_of_an_earlier_one = state in (State.PLANNED, State.FAILED) and not covered
            reason = "not taken, says the file, which is older than the doubt" if is_of_an_earlier_one else ""
        _conclude(findings, doubt, None if reason else Finding(doubt, state, None, words), reason)
    return findings


# A late answer of a worker may have settled one meanwhile: that one is left as it is.
_SETTLE: Final = text("""
    WITH found AS (
        SELECT * FROM unnest(:ids, :states, :times, :codes, :enhanced, :words, :classes)
            AS f(id, state, at, code, enhanced, words, bounce_class)
    ), settled AS (
        UPDATE message AS m
        SET state = CAST(f.state AS message_state), state_at = :now,
            accepted_at = CASE WHEN f.state IN ('accepted', 'delivered', 'bounced')
                               THEN coalesce(m.accepted_at, f.at, :now) END,
            held_at = CASE WHEN f.state <> 'planned' THEN m.held_at END
        FROM found AS f
        WHERE m.id = f.id AND (m.state = 'unknown' OR m.state = 'accepted' AND f.state IN ('delivered', 'bounced')
                               OR m.state = 'delivered' AND f.state = 'bounced')
        RETURNING m.id, m.run_id, m.campaign, m.attempt_count, m.state
    ), noted AS (
        INSERT INTO attempt (message_id, number, transport, worker, outcome, code, enhanced, reply, bounce_class,
                             answered_at)
        SELECT s.id, s.attempt_count, '', :worker, s.state, f.code, f.enhanced, left(f.words, 500), f.bounce_class, :now
        FROM settled AS s JOIN found AS f ON f.id = s.id
    )
    SELECT id, run_id, campaign, state FROM settled ORDER BY id
""").bindparams(
    bindparam("ids", type_=ARRAY(BIGINT)),
    bindparam("states", type_=ARRAY(Text)),
    bindparam("times", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("codes", type_=ARRAY(Integer)),
    bindparam("enhanced", type_=ARRAY(Text)),
    bindparam("words", type_=ARRAY(Text)),
    bindparam("classes", type_=ARRAY(Text)),
)


@dataclass(frozen=True, slots=True)
class _OfRun:
    """Whose messages they are, for the consequences of refusals."""

    run_id: int
    campaign: str


def settle(
    connection: Connection, found: Sequence[Finding], *, actor: str, source: str, size: int, policy: Refusals,
    now: datetime,
) -> Counter[str]:  # fmt: skip
    """The findings are in the ledger, each with an attempt that says why; how many by state is returned.

    What was never received is planned again, in batches of at most `size`; what of it a worker has in hands stays in
    doubt. Refusals have their consequences.
    Atomic with the connection's transaction. Repeat: safe, what is settled stays so.
    """
    never = {one.doubt.id for one in found if one.state is State.PLANNED}
    free = frozenset(take_out(connection, sorted(never)))
    found = [one for one in found if one.doubt.id not in never or one.doubt.id in free]
    changed = connection.execute(_SETTLE, _columns(found) | {"worker": WORKER, "now": now}).all() if found else []
    again = [row.id for row in changed if row.state == State.PLANNED]
    if again:
        send_again(connection, again, anew=False, size=size, now=now)
    over = [row.id for row in changed if row.state != State.PLANNED]
    connection.execute(delete(kept_content).where(kept_content.c.message_id.in_(over)))
    refused = [row for row in changed if row.state in (State.BOUNCED, State.FAILED)]
    for place in sorted({(row.run_id, row.campaign) for row in refused}):
        ids = [row.id for row in refused if row.run_id == place[0]]
        refusals.settle(connection, _OfRun(*place), ids, now, policy)
    for campaign in sorted({row.campaign for row in changed}):
        counts = Counter(row.state for row in changed if row.campaign == campaign)
        audit.record(connection, actor, "reconcile", f"campaign:{campaign}", at=now, source=source, **counts)
    return Counter(row.state for row in changed)


def _columns(found: Sequence[Finding]) -> dict[str, Any]:
    return {
        "ids": [one.doubt.id for one in found],
        "states": [one.state.value for one in found],
        "times": [one.at for one in found],
        "codes": [one.code for one in found],
        "enhanced": [one.enhanced for one in found],
        "words": [one.words for one in found],
        "classes": [_class_of(one) for one in found],
    }


def _class_of(finding: Finding) -> str | None:
    if finding.state not in (State.BOUNCED, State.FAILED):
        return None
    return bounce_class(Answer(OutcomeState.FAILED, finding.code, finding.enhanced, finding.words))
