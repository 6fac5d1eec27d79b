"""What would happen, told before it happens: per campaign, its stages, head counts, and the digest apply checks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from sqlalchemy import Connection, select

from campaigns import audience, duplicates, versions
from campaigns.audience import Counts, Earlier
from campaigns.catalogue import Catalogue
from campaigns.outlook import Outlook, outlook
from campaigns.rollout_file import heads
from campaigns.stages import CutBatches, FreezeAudience, Register, Stage
from campaigns.timing import first_instant
from campaigns.versions import Version
from core.errors import EngineError, PlanError, raise_together
from core.field_types import Name
from core.schema import campaign_version, run, schedule
from core.units import quoted
from core.yaml_files import Section
from suppression.contacts import Ahead
from suppression.policy import Policy
from suppression.pressure import has_wishes

#: The layout of a plan file; one of another number is refused.
FORMAT = 1
#: The occurrence of a broadcast: it happens once.
ONCE = "1"


#: The audience of a campaign that has none.
NOBODY: Final = Counts(0, 0, {}, f"0:{0:032x}")


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """What applying would do for one campaign. No stages: nothing."""

    campaign: str
    fingerprint: str
    counts: Counts
    stages: tuple[Stage, ...]
    starts_at: datetime | None
    rollout: tuple[int, ...] = ()  # heads of each stage of a roll-out
    is_transactional: bool = False  # ordered for one person at a time: a plan has nothing to do with it
    way: Outlook | None = None  # None: nothing would go
    cancelled_at: datetime | None = None  # its last run was cancelled then: these stages would start it anew


@dataclass(frozen=True, slots=True)
class Plan:
    """A reviewed intention: `apply` runs exactly this, or refuses."""

    made_at: datetime
    campaigns: tuple[CampaignPlan, ...]

    @property
    def pending(self) -> tuple[CampaignPlan, ...]:
        """The campaigns for which something would be done."""
        return tuple(campaign for campaign in self.campaigns if campaign.stages)


def make_plan(
    connection: Connection,
    catalogue: Catalogue,
    names: Iterable[str],
    now: datetime,
    refused: list[EngineError] | None = None,
) -> Plan:
    """The plan of the named campaigns (all, when none is named); nothing is written.

    `refused`, where it is given, takes what is wrong with some of them; the plan is of the others then.

    Raises:
        NotFound: a name is unknown.
        PlanError: audiences exceed their campaigns' `max_audience`; it says all of them.
    """
    chosen = list(names) or list(catalogue.campaigns)
    pinned = [versions.pin(catalogue, name) for name in chosen]
    found: list[EngineError] = [] if refused is None else refused
    made = _in_order(connection, catalogue, pinned, now, found)
    if refused is None:
        raise_together(found)
    return Plan(now, tuple(made[version.campaign] for version in pinned if version.campaign in made))


def _in_order(
    connection: Connection, catalogue: Catalogue, pinned: Iterable[Version], now: datetime, refused: list[EngineError]
) -> Mapping[str, CampaignPlan]:
    """The plans by campaign, made in the order in which they are applied: who gets a piece by one of them does not get
    it by a later one, and what one of them sends counts for the caps of one with a lower priority. Without those of
    which `refused` tells why."""
    made: dict[str, CampaignPlan] = {}
    earlier: list[Earlier] = []
    policy = Policy.of(catalogue.settings)
    left = sorted({version.campaign: version for version in pinned}.values(), key=applied_by)
    while left:
        version = left.pop(0)
        try:
            plan = made[version.campaign] = _told(connection, catalogue, version, now, earlier)
        except PlanError as error:
            refused.append(error)
            continue
        is_frozen = any(isinstance(stage, FreezeAudience) for stage in plan.stages)
        if is_frozen and any(_is_asked(connection, version, later, policy) for later in left):
            rows = audience.decided(version, ONCE, now, policy, earlier=earlier)
            people = duplicates.keep_planned(connection, rows, len(made))
            limits, starts_at = version.definition.limits, first_instant(version, now) or now
            messages = Ahead(people, version.definition.consent_topic, limits.priority, starts_at)
            earlier.append(Earlier(version.piece, messages))
    return made


def applied_by(version: Version) -> tuple[int, str]:
    """The place of the version among those that are applied together: higher priorities come first."""
    return -version.definition.limits.priority, version.campaign


def _is_asked(connection: Connection, version: Version, later: Version, policy: Policy) -> bool:
    """Whether it matters to the later version who gets the first one."""
    if later.piece == version.piece:
        return True
    goes_first = later.definition.limits.priority < version.definition.limits.priority
    return goes_first and (bool(policy.pressure.caps) or has_wishes(connection))


def _told(
    connection: Connection, catalogue: Catalogue, version: Version, now: datetime, earlier: Sequence[Earlier]
) -> CampaignPlan:
    """The plan of one campaign, with what a person should know before they agree."""
    settings = catalogue.settings
    plan = plan_version(connection, version, now, settings.workers.batch_size, Policy.of(settings), earlier)
    if not plan.stages:
        return plan
    heads, starts_at = plan.counts.would_send, max(plan.starts_at or now, now)
    way = outlook(connection, catalogue.settings, version, heads, starts_at)
    is_once = version.definition.kind != "recurring"
    return replace(plan, way=way, cancelled_at=_cancelled_at(connection, version.campaign) if is_once else None)


def _cancelled_at(connection: Connection, campaign: str) -> datetime | None:
    """When the campaign's newest run was cancelled; None: it was not."""
    newest = select(run.c.state, run.c.finished_at).where(run.c.campaign == campaign).order_by(run.c.id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return row.finished_at if row is not None and row.state == "cancelled" else None


def plan_version(
    connection: Connection,
    version: Version,
    now: datetime,
    batch_size: int,
    policy: Policy,
    earlier: Sequence[Earlier] = (),
) -> CampaignPlan:
    """The plan of one pinned campaign, in batches of `batch_size` messages. `earlier`: as `audience.decided` takes."""
    if version.is_transactional:
        return CampaignPlan(version.campaign, version.fingerprint, NOBODY, (), None, is_transactional=True)
    counts = audience.count(connection, version, ONCE, now, policy, earlier)
    starts_at = first_instant(version, now)
    stages = _stages(connection, version, counts, batch_size)
    limit = version.definition.limits.max_audience
    if stages and limit is not None and counts.would_send > limit:
        raise PlanError(
            f"{version.campaign}: {counts.would_send:,} people would be written to (expected at most {limit:,})",
            hint="narrow the segment, or raise limits.max_audience",
        )
    rollout = version.definition.rollout
    reached = heads(rollout.stages, counts.would_send) if rollout and counts.would_send else ()
    return CampaignPlan(version.campaign, version.fingerprint, counts, stages, starts_at, reached)


def _stages(connection: Connection, version: Version, counts: Counts, batch_size: int) -> tuple[Stage, ...]:
    if version.definition.kind == "recurring":
        return () if _registered(connection, version) else (Register(version),)
    if counts.would_send == 0:
        return ()
    shares = version.definition.rollout.stages if version.definition.rollout else ()
    return FreezeAudience(version, ONCE, counts), CutBatches(counts.would_send, batch_size, shares)


def _registered(connection: Connection, version: Version) -> bool:
    """The scheduler knows this very version, be it active, paused or cancelled: a plan does not undo an order."""
    query = (
        select(campaign_version.c.fingerprint)
        .join(schedule, schedule.c.version_id == campaign_version.c.id)
        .where(schedule.c.campaign == version.campaign)
    )
    return connection.execute(query).scalar() == version.fingerprint


def to_file(plan: Plan) -> dict[str, Any]:
    """The plan as a JSON document; `from_file` reads it back."""
    return {
        "format": FORMAT,
        "made_at": plan.made_at.isoformat(),
        "campaigns": [
            {
                "name": item.campaign,
                "fingerprint": item.fingerprint,
                "digest": item.counts.digest,
                "audience": item.counts.audience,
                "would_send": item.counts.would_send,
                "skipped": dict(item.counts.skipped),
                "pending": bool(item.stages),
            }
            for item in plan.campaigns
        ],
    }


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One campaign of a plan file: what was shown to the person who approved it."""

    campaign: str
    fingerprint: str
    counts: Counts
    pending: bool


_Digits = Annotated[str, StringConstraints(pattern=r"^[0-9a-f:]+$", max_length=128)]


class _PlannedCampaign(Section):
    """One campaign of a plan file, as `to_file` writes it."""

    name: Name
    fingerprint: _Digits
    digest: _Digits
    audience: Annotated[int, Field(ge=0, strict=True)]
    would_send: Annotated[int, Field(ge=0, strict=True)]
    skipped: dict[str, Annotated[int, Field(ge=0, strict=True)]]
    pending: Annotated[bool, Field(strict=True)]

    def reviewed(self) -> Reviewed:
        counts = Counts(self.audience, self.would_send, self.skipped, self.digest)
        return Reviewed(self.name, self.fingerprint, counts, self.pending)


_CAMPAIGNS: Final = TypeAdapter(list[_PlannedCampaign])


def from_file(document: Mapping[str, Any]) -> list[Reviewed]:
    """The campaigns of a plan file.

    Raises:
        PlanError: it is no plan file, of another format, or damaged.
    """
    if document.get("format") != FORMAT:
        raise PlanError(
            f"this is no plan file (format {quoted(document.get('format'))}, expected {FORMAT})",
            hint="write one with `clarion plan --out FILE`",
        )
    try:
        return [item.reviewed() for item in _CAMPAIGNS.validate_python(document.get("campaigns"))]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, ("campaigns", *first["loc"])))
        raise PlanError(f"the plan file is damaged: {place}: {first['msg']}", hint="make the plan again") from None
