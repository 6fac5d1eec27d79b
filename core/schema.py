"""Every table of the database, in one file. Columns that need words have them in `comment`.

Owners (the room that writes a table): customer, customer_alias, customer_address, purchase, activity,
customer_metrics, tier_change, erasure, erased_conversion: `customers/`; consent, preference, suppression,
blocked_digest: `suppression/`; throttle, volume, domain_tally: `delivery/`; campaign_version, asset, run, message,
kept_content, batch, attempt, schedule, schedule_tick, task, staff_notice, sequence*, enrolment*, activity_mark,
webhook_call, event, registration*, inquiry, survey_answer: `campaigns/`; leader: `workers/`; hit, inbound_*, feedback:
`tracking/`; sign_up, rights_request, used_token, api_call, public_count: `web/`. Any room may read any table. Of
somebody who is erased `customers/rights/` changes every one of them.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, INET, JSONB, UUID

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(), primary_key=True)


def _at(name: str, *, nullable: bool = True, default: bool = False, comment: str | None = None) -> Column[Any]:
    server_default = func.now() if default else None
    return Column(
        name,
        DateTime(timezone=True),
        nullable=nullable and not default,
        server_default=server_default,
        comment=comment,
    )


def _jsonb(name: str) -> Column[Any]:
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"))


# --- customers -------------------------------------------------------------------------------------

customer = Table(
    "customer",
    metadata,
    _id(),
    Column("external_id", Text, nullable=False, comment="the key in the system the customer came from"),
    Column("email", Text, comment="as sent to: local part as entered, domain in lower case"),
    Column("address_key", UUID, comment="keyed hash of the comparable form of email (core.ids.address_key)"),
    Column("smtputf8", Boolean, nullable=False, server_default=text("false")),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("company", Text),
    Column("phone", Text),
    Column("country", Text, comment="ISO 3166-1 alpha-2 where known, else as imported"),
    Column("language", Text, comment="BCP 47"),
    Column("zone", Text, comment="IANA time zone name"),
    Column("owner", Text, comment="the employee a key customer belongs to"),
    Column("person", Text, comment="customers with the same value are one human being with several addresses"),
    Column("household", Text, comment="customers with the same value live together"),
    _jsonb("attributes"),
    Column("source", Text, comment="where the row came from, for example the file name of its first import"),
    _at("created_at", default=True),
    _at("updated_at", default=True),
    UniqueConstraint("external_id"),
    Index("ix_customer_address_key", "address_key"),
    Index("ix_customer_person", "person", postgresql_where=text("person IS NOT NULL")),
    Index("ix_customer_household", "household", postgresql_where=text("household IS NOT NULL")),
    Index("ix_customer_company", text("lower(company)"), postgresql_where=text("company IS NOT NULL")),
)

customer_alias = Table(
    "customer_alias",
    metadata,
    Column("external_id", Text, primary_key=True, comment="of a customer that was merged into another one"),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
    Column("merged_because", Text, nullable=False),
    _at("merged_at", default=True),
    Index("ix_customer_alias_customer_id", "customer_id"),
    comment="names of merged customers: an import that gives one means the customer they became",
)

customer_address = Table(
    "customer_address",
    metadata,
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), primary_key=True),
    Column("address_key", UUID, primary_key=True),
    Column("email", Text, nullable=False, comment="an address the customer had before, or of a merged customer"),
    _at("known_at", default=True),
    Index("ix_customer_address_address_key", "address_key"),
    comment="further addresses of customers; nothing is sent there",
)

erasure = Table(
    "erasure",
    metadata,
    _id(),
    Column("address_key", UUID, comment="keyed hash; all that is left of the address"),
    Column("external_key", UUID, nullable=False, comment="keyed hash of the external id"),
    Column("person", UUID, nullable=False, comment="the same in all rows of one person's erasure; leads nowhere"),
    _at("erased_at", default=True),
    Column("source", Text, nullable=False, comment="operator, request, or replay"),
    _at("readmitted_at", comment="they came back: imports take them again; NULL: they are refused"),
    Column("readmitted_because", Text),
    Index("ix_erasure_address_key", "address_key"),
    Index("ix_erasure_external_key", "external_key"),
    comment="who was erased: to be refused by imports, and erased again in a database that was restored",
)

purchase = Table(
    "purchase",
    metadata,
    _id(),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
    Column("order_id", Text, nullable=False),
    Column("line_key", Text, nullable=False, comment="tells the lines of one order apart, equal on every import"),
    _at("ordered_at", nullable=False),
    Column("product", Text),
    Column("category", Text),
    Column("description", Text),
    Column("quantity", Numeric(18, 4), nullable=False, server_default=text("1"), comment="negative: returned"),
    Column("amount", Numeric(18, 4), nullable=False, comment="of the line; negative: returned or cancelled"),
    Column("cost", Numeric(18, 4), comment="what the goods of the line cost us"),
    Column("currency", Text, nullable=False),
    UniqueConstraint("order_id", "line_key"),
    Index("ix_purchase_customer_id_ordered_at", "customer_id", "ordered_at"),
)

activity = Table(
    "activity",
    metadata,
    _id(),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False, comment="what the customer did, for example page_view, ticket_opened"),
    _at("occurred_at", nullable=False),
    _jsonb("properties"),
    Column("value", Numeric(18, 4)),
    Column("source", Text),
    Column("event_key", Text, nullable=False, comment="equal on every import of the same activity"),
    UniqueConstraint("event_key"),
    Index("ix_activity_customer_id_name_occurred_at", "customer_id", "name", "occurred_at"),
)

customer_metrics = Table(
    "customer_metrics",
    metadata,
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), primary_key=True),
    _at("first_order_at"),
    _at("last_order_at"),
    Column("order_count", Integer, nullable=False, server_default=text("0"), comment="frequency: distinct orders"),
    Column("monetary", Numeric(18, 4), nullable=False, server_default=text("0"), comment="net of returns"),
    Column("gross_profit", Numeric(18, 4), nullable=False, server_default=text("0")),
    Column("average_order_value", Numeric(18, 4)),
    Column("recency_days", Integer, comment="whole days from the last order to as_of"),
    Column("recency_score", SmallInteger),
    Column("frequency_score", SmallInteger),
    Column("monetary_score", SmallInteger),
    Column("rfm", Text, comment="named group of the recency and frequency scores"),
    Column("abc", Text),
    Column("pyramid", Text, nullable=False, server_default=text("'suspect'")),
    Column("quadrant", Text),
    _at("as_of", nullable=False, comment="the instant the metrics describe"),
)

tier_change = Table(
    "tier_change",
    metadata,
    _id(),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
    Column("scheme", Text, nullable=False, comment="rfm, abc, pyramid or quadrant"),
    Column("level_from", Text),
    Column("level_to", Text),
    _at("changed_at", nullable=False),
    Index("ix_tier_change_customer_id", "customer_id"),
    Index("ix_tier_change_scheme_changed_at", "scheme", "changed_at"),
)

import_run = Table(
    "import_run",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("encoding", Text),
    Column("counts", JSONB, nullable=False),
    _at("imported_at", default=True),
)

# --- permission --------------------------------------------------------------------------------------

#: As `core.latest_word` orders words: the one that counts is the first in the index.
_NEWEST_FIRST = (text("captured_at DESC"), text("(state = 'withdrawn') DESC"), text("id DESC"))

consent = Table(
    "consent",
    metadata,
    _id(),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
    Column("channel", Text, nullable=False, server_default=text("'email'")),
    Column("topic", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("basis", Text, nullable=False, comment="consent, soft_opt_in, contract, legitimate_interest, implied"),
    Column("source", Text, nullable=False),
    Column("wording", Text, comment="version of the text that was agreed to"),
    Column("wording_hash", Text, comment="SHA-256 of that text, in hexadecimal digits"),
    _jsonb("proof"),
    _at("captured_at", nullable=False),
    _at("expires_at"),
    CheckConstraint("state IN ('requested', 'granted', 'confirmed', 'withdrawn')", name="state"),
    UniqueConstraint("customer_id", "channel", "topic", "captured_at", "state", "source", name="uq_consent_fact"),
    Index("ix_consent_latest", "customer_id", "channel", "topic", *_NEWEST_FIRST),
    Index(
        "ix_consent_watching",
        "customer_id",
        "channel",
        *_NEWEST_FIRST,
        postgresql_where=text("channel IN ('tracking', 'profiling')"),
    ),
    comment="append-only; the latest row of a customer, channel and topic counts, requests aside",
)

preference = Table(
    "preference",
    metadata,
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), primary_key=True),
    Column("most_messages", SmallInteger, comment="of all bulk mail within `most_within`; NULL: no wish"),
    Column("most_within", Interval),
    _at("updated_at", default=True),
    Column("source", Text, nullable=False),
    CheckConstraint("(most_messages IS NULL) = (most_within IS NULL)", name="most"),
    # Each claim of a batch asks whether there is any.
    Index("ix_preference_wish", "customer_id", postgresql_where=text("most_messages IS NOT NULL")),
    comment="how often a customer wants to be written to",
)

suppression = Table(
    "suppression",
    metadata,
    _id(),
    Column("address_key", UUID, nullable=False),
    Column("channel", Text, nullable=False, server_default=text("'email'")),
    Column("scope", Text, nullable=False, comment="global, channel, topic or campaign"),
    Column("scope_name", Text, nullable=False, server_default=text("''"), comment="the topic or campaign"),
    Column("reason", Text, nullable=False, comment="unsubscribed, hard_bounce, complaint, manual, legal, …"),
    Column("source", Text, nullable=False, comment="what recorded it: one_click, page, import, operator, …"),
    _jsonb("evidence"),
    _at("created_at", default=True),
    _at("expires_at"),
    _at("lifted_at"),
    Column("lifted_because", Text),
    CheckConstraint("scope IN ('global', 'channel', 'topic', 'campaign')", name="scope"),
    Index(
        "uq_suppression_active",
        "address_key",
        "channel",
        "scope",
        "scope_name",
        "reason",
        unique=True,
        postgresql_where=text("lifted_at IS NULL"),
    ),
    comment="an entry without lifted_at, not yet expired, forbids sending; outranks everything",
)

blocked_digest = Table(
    "blocked_digest",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="MD5 (16 octets) or SHA-256 (32) of an address"),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False, comment="the list it came from"),
    _at("created_at", default=True),
    _at("lifted_at"),
    Column("lifted_because", Text),
    comment="hashed do-not-contact lists: whoever has such an address, now or later, is suppressed",
)

# --- campaigns -----------------------------------------------------------------------------------------

#: The states of a message; `campaigns.states.TRANSITIONS` says which may follow which.
MESSAGE_STATES: Final = (
    "planned",
    "handed_over",
    "accepted",
    "deferred",
    "failed",
    "unknown",
    "skipped",
    "delivered",
    "bounced",
    "complained",
)
message_state = ENUM(*MESSAGE_STATES, name="message_state", metadata=metadata)

campaign_version = Table(
    "campaign_version",
    metadata,
    _id(),
    Column("campaign", Text, nullable=False),
    Column("fingerprint", Text, nullable=False, comment="of the definition and everything it uses"),
    Column("kind", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("definition", JSONB, nullable=False, comment="the campaign, its segment texts and template sources"),
    Column(
        "links",
        JSONB,
        nullable=False,
        server_default=text("'[]'::jsonb"),
        comment="tracked targets by position",
    ),
    Column("piece", Text, nullable=False, comment="fingerprint of the unpersonalised content"),
    Column("goal_event", Text, comment="the activity that counts as conversion; 'purchase' means orders"),
    Column("goal_within", Interval),
    Column("fixed_cost", Numeric(18, 4), nullable=False, server_default=text("0")),
    Column("cost_per_message", Numeric(18, 6), nullable=False, server_default=text("0")),
    Column("currency", Text),
    Column(
        "message_class",
        Text,
        nullable=False,
        server_default=text("'bulk'"),
        comment="bulk, or transactional: owed to one person, so sent again rather than lost",
    ),
    Column("valid_for", Interval, comment="transactional: not handed over this long after its time, it is expired"),
    Column(
        "by_behaviour",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="its segments look at what people did: who refused profiling is left out",
    ),
    Column("repeats", Boolean, comment="a message in doubt is sent again; NULL: if it is transactional"),
    _at("created_at", default=True),
    CheckConstraint("message_class IN ('bulk', 'transactional')", name="message_class"),
    UniqueConstraint("campaign", "fingerprint"),
    Index("ix_campaign_version_piece", "piece"),
)

asset = Table(
    "asset",
    metadata,
    Column("digest", Text, primary_key=True, comment="SHA-256 of the content, in hexadecimal digits"),
    Column("content", LargeBinary, nullable=False),
    _at("created_at", default=True),
    comment="attachments and inline images; versions name them by digest, so that what runs cannot change",
)

run = Table(
    "run",
    metadata,
    _id(),
    Column("campaign", Text, nullable=False),
    Column("version_id", BigInteger, ForeignKey("campaign_version.id"), nullable=False),
    Column("step", Text, nullable=False),
    Column(
        "occurrence",
        Text,
        nullable=False,
        comment="'1' for a broadcast, the nominal time for a recurring one",
    ),
    Column("state", Text, nullable=False),
    Column("fault", Text, comment="why its messages cannot go at present; NULL as soon as they do"),
    Column(
        "audience",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="rows in message, counted once",
    ),
    Column("digest", Text, nullable=False, comment="of who is in it and why not; equal to the plan's"),
    Column(
        "stage",
        SmallInteger,
        nullable=False,
        server_default=text("0"),
        comment="of a staged roll-out: batches of this stage and earlier ones may go",
    ),
    Column(
        "priority",
        SmallInteger,
        nullable=False,
        server_default=text("0"),
        comment="of two runs that cannot both write to a person, the one with the higher number does",
    ),
    Column(
        "open_ended",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="messages are added while it runs: its audience is what it holds",
    ),
    _at("stage_ended_at", comment="when the last batch of the stage was done; its answers are watched from then on"),
    _at("starts_at", nullable=False),
    _at("valid_until", comment="messages not handed over by then are skipped as expired"),
    _at("created_at", default=True),
    _at("finished_at"),
    CheckConstraint("state IN ('running', 'paused', 'finished', 'cancelled')", name="state"),
    Index("ix_run_campaign", "campaign", text("id DESC")),
)

message = Table(
    "message",
    metadata,
    _id(),
    Column("run_id", BigInteger, ForeignKey("run.id"), nullable=False),
    Column("campaign", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("occurrence", Text, nullable=False),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="SET NULL")),
    Column("address_key", UUID, comment="NULL for a customer without an address, who is skipped"),
    Column("state", message_state, nullable=False),
    Column("skip_reason", Text),
    Column("not_before", DateTime(timezone=True), nullable=False),
    _at("state_at", default=True, comment="when the message came into its state"),
    Column("attempt_count", SmallInteger, nullable=False, server_default=text("0")),
    _at("accepted_at"),
    Column("hold_reason", Text, comment="why it waits beyond its time: quiet_hours, frequency_cap, …"),
    _at("held_at", comment="when a cap or an open case first held it; how long it waits counts from then"),
    Column("given", JSONB, comment="values that came with the order to send it; NULL for a frozen audience"),
    CheckConstraint("(state = 'skipped') = (skip_reason IS NOT NULL)", name="skip_reason"),
    # One message per address, campaign, step and occurrence: the promise "never twice", kept by the database.
    Index(
        "uq_message_address",
        "campaign",
        "step",
        "occurrence",
        "address_key",
        unique=True,
        postgresql_where=text("skip_reason IS NULL"),
    ),
    # A transactional run is open-ended: it has one message per customer and order to send.
    Index("uq_message_customer", "run_id", "customer_id", "occurrence", unique=True),
    Index("ix_message_customer_id", "customer_id"),
    Index("ix_message_nameless", "address_key", postgresql_where=text("customer_id IS NULL")),
    # A window moves as many messages of a page as it moved just before: with less room a fifth of the moves went to
    # another page, and into every index.
    postgresql_with={"fillfactor": 50},
    comment="the ledger: one row per person of a frozen audience. No index names state: its updates stay HOT",
)

erased_conversion = Table(
    "erased_conversion",
    metadata,
    _id(),
    Column("message_id", BigInteger, ForeignKey("message.id", ondelete="CASCADE"), nullable=False),
    Column("reference", UUID, nullable=False, comment="the same for what was one order; leads nowhere"),
    _at("at", nullable=False),
    Column("value", Numeric(18, 4), nullable=False),
    Column("currency", Text),
    Index("ix_erased_conversion_message_id", "message_id"),
    comment="what people bought who were erased since, so that the figures of campaigns stay as they were",
)

kept_content = Table(
    "kept_content",
    metadata,
    Column("message_id", BigInteger, ForeignKey("message.id", ondelete="CASCADE"), primary_key=True),
    Column("content", LargeBinary, nullable=False, comment="compressed by zlib"),
    comment="the bytes of messages that may have to be sent again, exactly as they were; gone once settled",
)

batch = Table(
    "batch",
    metadata,
    _id(),
    Column("run_id", BigInteger, ForeignKey("run.id"), nullable=False),
    Column("queue", Text, nullable=False, server_default=text("'bulk'"), comment="bulk or transactional"),
    Column("message_ids", ARRAY(BigInteger), nullable=False),
    Column("state", Text, nullable=False, server_default=text("'ready'")),
    _at("not_before", nullable=False),
    _at("published_at", comment="when the broker was last told of it"),
    _at("lease_until", comment="by the database's clock"),
    Column("worker", Text),
    Column("claim_count", Integer, nullable=False, server_default=text("0")),
    Column(
        "stage",
        SmallInteger,
        nullable=False,
        server_default=text("0"),
        comment="of a staged roll-out: it waits until its run has come to this stage",
    ),
    Column(
        "attempt_count",
        SmallInteger,
        nullable=False,
        server_default=text("0"),
        comment="attempts its messages had when it was cut; one with more was tried in it",
    ),
    Column(
        "waits_from",
        SmallInteger,
        nullable=False,
        server_default=text("0"),
        comment="attempts before `clarion retry`, which no longer count towards giving up",
    ),
    _at("booked_at", comment="when a throttle gave its messages their time; NULL: they never had to wait for one"),
    CheckConstraint("state IN ('ready', 'claimed', 'done')", name="state"),
    Index("ix_batch_open", "not_before", postgresql_where=text("state <> 'done'")),
    Index("ix_batch_run_id", "run_id"),
    comment="a piece of work for one worker: a few hundred messages of one run",
)

attempt = Table(
    "attempt",
    metadata,
    # No foreign key: written by the statement that moves the message, and checking it took a tenth of that statement.
    Column("message_id", BigInteger, nullable=False),
    Column("number", SmallInteger, nullable=False, comment="1 for the first hand-over"),
    Column("transport", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("outcome", message_state, nullable=False),
    Column("code", SmallInteger, comment="the three-digit reply"),
    Column("enhanced", Text, comment="RFC 3463 status, for example 5.1.1"),
    Column("reply", Text, comment="the server's words, at most 500 characters"),
    Column("bounce_class", Text, comment="of a refusal: hard, soft, mailbox_full, block, message_fault, …"),
    _at("answered_at"),
    Index("ix_attempt_message_id", "message_id"),
    comment="append-only: every hand-over and what became of it",
)

task = Table(
    "task",
    metadata,
    _id(),
    Column("task_key", Text, nullable=False, comment="equal whenever the same thing asks for it again"),
    Column("kind", Text, nullable=False, comment="key_account, reply, …"),
    Column("owner", Text, comment="an entry of `staff` in clarion.yaml; NULL: nobody's yet"),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE")),
    Column("campaign", Text),
    Column("message_id", BigInteger, comment="the message it is about"),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False, server_default=text("''")),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    _at("due_at"),
    _at("created_at", default=True),
    _at("done_at"),
    Column("done_by", Text),
    Column("outcome", Text),
    CheckConstraint("state IN ('open', 'done', 'dropped')", name="state"),
    UniqueConstraint("task_key"),
    Index("ix_task_open", "owner", "due_at", postgresql_where=text("state = 'open'")),
    Index("ix_task_unwritten", "id", postgresql_where=text("body = '' AND kind = 'key_account'")),
    Index("ix_task_customer_id", "customer_id"),
    comment="what an employee has to do for a customer",
)

staff_notice = Table(
    "staff_notice",
    metadata,
    _id(),
    Column("notice_key", Text, nullable=False, comment="equal whenever the same thing is to be told again"),
    Column("recipient", Text, nullable=False, comment="an e-mail address of the staff"),
    Column("subject", Text, nullable=False),
    Column("content", LargeBinary, comment="the whole message; NULL once it was sent"),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE")),
    Column("state", Text, nullable=False, server_default=text("'planned'")),
    Column("attempt_count", SmallInteger, nullable=False, server_default=text("0")),
    Column("fault", Text),
    _at("not_before", default=True),
    _at("created_at", default=True),
    _at("sent_at"),
    CheckConstraint("state IN ('planned', 'handed_over', 'accepted', 'failed')", name="state"),
    UniqueConstraint("notice_key"),
    Index("ix_staff_notice_open", "not_before", postgresql_where=text("state IN ('planned', 'handed_over')")),
    comment="mail to employees: replies of customers, alerts, digests",
)

# --- ways out ------------------------------------------------------------------------------------------

throttle = Table(
    "throttle",
    metadata,
    Column("key", Text, primary_key=True, comment="transport:<name>, or domain:<recipient domain>"),
    _at("next_at", comment="when the next message may go, by its rate (GCRA: the theoretical arrival time)"),
    _at("booked_until", comment="until when messages that had to wait were given a time"),
    Column("factor", Numeric(6, 4), nullable=False, server_default=text("1"), comment="of its rate, after it was cut"),
    _at("factor_at", comment="when the rate was last cut; it rises again with time"),
    Column("base_rate", Numeric(12, 4), comment="messages a second it had when cut; NULL: its rate is set"),
    Column("fault_count", Integer, nullable=False, server_default=text("0"), comment="faults without success between"),
    _at("held_at", comment="since when nothing goes; NULL: it may"),
    _at("held_until", comment="it may go again from then on; NULL: when somebody resumes it"),
    Column("held_because", Text),
    Column("held_by", Text, comment="breaker, trial (one batch tries it again), operator or hard_bounces"),
    comment="how fast a transport or a recipient domain may be served, and whether it is held; shared by all workers",
)

volume = Table(
    "volume",
    metadata,
    Column("key", Text, primary_key=True, comment="transport:<name>, or transport:<name>|domain:<domain>"),
    Column("day", Date, primary_key=True, comment="in the organisation's zone"),
    Column("message_count", BigInteger, nullable=False, server_default=text("0")),
    comment="messages let through a day, for warm-up plans",
)

domain_tally = Table(
    "domain_tally",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("minute", DateTime(timezone=True), primary_key=True),
    Column("attempt_count", Integer, nullable=False),
    Column("hard_count", Integer, nullable=False),
    _at("first_at", comment="since when they were waited for; NULL: since the minute began"),
    comment="answers by recipient domain and minute, for the last hours: tells an outage from dead addresses",
)

schedule = Table(
    "schedule",
    metadata,
    Column("campaign", Text, primary_key=True),
    Column("version_id", BigInteger, ForeignKey("campaign_version.id"), nullable=False),
    Column("cron", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    _at("since", nullable=False, comment="times before it are never made up for"),
    Column("fault", Text, comment="why the run that is due could not be started; NULL: it could"),
    CheckConstraint("state IN ('active', 'paused', 'cancelled')", name="state"),
    comment="the recurring campaigns that were applied",
)

schedule_tick = Table(
    "schedule_tick",
    metadata,
    Column("schedule", Text, primary_key=True),
    Column("nominal_at", DateTime(timezone=True), primary_key=True),
    _at("done_at", default=True),
    comment="a tick that was carried out; it is never carried out again",
)

# --- sequences ---------------------------------------------------------------------------------------

sequence_version = Table(
    "sequence_version",
    metadata,
    _id(),
    Column("sequence", Text, nullable=False),
    Column("fingerprint", Text, nullable=False, comment="of the file and everything it uses"),
    Column("definition", JSONB, nullable=False, comment="the file, its segment texts, and the versions its steps send"),
    _at("created_at", default=True),
    UniqueConstraint("sequence", "fingerprint"),
    comment="a sequence at one state of its files; each enrolment is pinned to one",
)

sequence = Table(
    "sequence",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version_id", BigInteger, ForeignKey("sequence_version.id"), nullable=False, comment="of new enrolments"),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("fault", Text, comment="why it does not go on at present; NULL: it does"),
    _at("since", nullable=False, comment="what people did before is never made up for"),
    _at("looked_at", comment="when its segment was last looked at for new members"),
    CheckConstraint("state IN ('active', 'paused', 'cancelled')", name="state"),
    comment="the sequences that were applied",
)

sequence_look = Table(
    "sequence_look",
    metadata,
    Column("sequence", Text, primary_key=True),
    Column("step", Text, primary_key=True),
    _at("look_at", nullable=False, comment="when the rule that is waited for is asked next, of all who wait there"),
    comment="steps at which somebody waits for a rule to come true",
)

enrolment = Table(
    "enrolment",
    metadata,
    _id(),
    Column("sequence", Text, nullable=False),
    Column("version_id", BigInteger, ForeignKey("sequence_version.id"), nullable=False),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
    Column(
        "entry_key", Text, nullable=False, server_default=text("''"), comment="tells passages apart, such as an order"
    ),
    Column("number", Integer, nullable=False, server_default=text("1"), comment="of the passages with this key"),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("step", Text, nullable=False, comment="the step that comes next, or last came"),
    _at("due_at", comment="when the step is to be looked at; NULL: ended"),
    _at(
        "nominal_at",
        nullable=False,
        comment="the time it was due by its plan: waits count from it, not from when it was looked at",
    ),
    _at("step_since", nullable=False, comment="when it came to the step"),
    _at("entered_at", nullable=False),
    _at("ended_at"),
    Column("ended_because", Text, comment="completed, exit_when, goal, exit step, cancelled, …"),
    Column("source", Text, nullable=False, comment="segment, event, api or operator"),
    Column("source_key", Text, comment="of the activity it came from: one activity enrols once"),
    _jsonb("given"),
    CheckConstraint("state IN ('active', 'completed', 'exited')", name="state"),
    CheckConstraint("(state = 'active') = (due_at IS NOT NULL)", name="due"),
    # Customer first: it finds the passages of one customer, too. Each index is written anew with every step.
    UniqueConstraint("customer_id", "sequence", "entry_key", "number"),
    Index(
        "uq_enrolment_source", "sequence", "source_key", unique=True, postgresql_where=text("source_key IS NOT NULL")
    ),
    Index("ix_enrolment_due", "sequence", "due_at", postgresql_where=text("state = 'active'")),
    comment="one passage of one customer through a sequence",
)

enrolment_step = Table(
    "enrolment_step",
    metadata,
    # No foreign key: the engine holds the passage, and checking it took half of the time of the insert. The steps go
    # with their passage by a trigger.
    Column("enrolment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("step", Text, primary_key=True),
    Column("outcome", Text, nullable=False, comment="sent, skipped:<reason>, waited, timed_out, went:<step>, task, …"),
    Column("message_id", BigInteger),
    _at("done_at", nullable=False),
    comment="append-only: a step that an enrolment did is never done again; the key keeps that promise",
)

activity_mark = Table(
    "activity_mark",
    metadata,
    Column("reader", Text, primary_key=True, comment="who reads activities in the order they became known"),
    Column("activity_id", BigInteger, nullable=False, comment="all up to it were read; none of them can still come"),
    comment="how far activities were looked at for enrolments and waits",
)

webhook_call = Table(
    "webhook_call",
    metadata,
    _id(),
    Column(
        "call_key",
        Text,
        nullable=False,
        comment="equal whenever the same thing asks for it again; sent as Idempotency-Key",
    ),
    Column("endpoint", Text, nullable=False, comment="an entry of `endpoints` in clarion.yaml"),
    Column("content", JSONB, nullable=False),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE")),
    Column("state", Text, nullable=False, server_default=text("'planned'")),
    Column("attempt_count", SmallInteger, nullable=False, server_default=text("0")),
    Column("fault", Text),
    _at("not_before", nullable=False),
    _at("created_at", default=True),
    _at("answered_at"),
    CheckConstraint("state IN ('planned', 'handed_over', 'accepted', 'failed')", name="state"),
    UniqueConstraint("call_key"),
    Index("ix_webhook_call_open", "not_before", postgresql_where=text("state IN ('planned', 'handed_over')")),
    Index(
        "ix_webhook_call_endpoint",
        "endpoint",
        "not_before",
        postgresql_where=text("state IN ('planned', 'handed_over')"),
    ),
    Index("ix_webhook_call_customer_id", "customer_id"),
    comment="calls of other systems that steps of sequences make",
)

# --- events ------------------------------------------------------------------------------------------

event = Table(
    "event",
    metadata,
    Column("name", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False, comment="of the file and everything it uses"),
    Column("definition", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    _at("starts_at", nullable=False),
    _at("ends_at", nullable=False),
    Column("zone", Text, nullable=False),
    Column("capacity", Integer, comment="seats; NULL: as many as come"),
    Column(
        "revision",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="raised with whatever calendars show",
    ),
    Column(
        "told_revision",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="everybody who registered knows of it; below revision: some are still to be told",
    ),
    _at("changed_at", nullable=False),
    _at("cancelled_at"),
    CheckConstraint("state IN ('open', 'closed', 'cancelled')", name="state"),
    comment="the events that were applied; whoever gives or takes a seat locks its row",
)

registration = Table(
    "registration",
    metadata,
    _id(),
    Column("event", Text, ForeignKey("event.name"), nullable=False),
    Column(
        "customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False, comment="who attends"
    ),
    Column(
        "registrant_id",
        BigInteger,
        ForeignKey("customer.id", ondelete="SET NULL"),
        comment="who registered them; NULL: they did",
    ),
    Column("address_key", UUID, nullable=False, comment="of the attendee, when they registered"),
    Column("uid", Text, nullable=False, comment="of the calendar entry, for life"),
    Column(
        "revision",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="SEQUENCE of the last calendar entry that was sent",
    ),
    Column("state", Text, nullable=False),
    Column("party", Text, nullable=False, comment="the same in all registrations of one order"),
    Column("source", Text, nullable=False, comment="page, api, import or operator"),
    Column("language", Text),
    _jsonb("answers"),
    _at("registered_at", nullable=False),
    _at("waiting_since"),
    Column(
        "event_revision",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="of the event as they know it; below that of the event: they are still to be told",
    ),
    _at("confirmed_at", comment="when the seat they have became theirs; no reminder that was due before is sent"),
    _at("offered_until", comment="a freed seat is kept for them until then"),
    _at("cancelled_at"),
    Column("cancelled_because", Text),
    _at("checked_in_at"),
    CheckConstraint("state IN ('confirmed', 'waiting', 'offered', 'cancelled')", name="state"),
    UniqueConstraint("uid"),
    Index(
        "uq_registration_attendee", "event", "address_key", unique=True, postgresql_where=text("state <> 'cancelled'")
    ),
    Index("ix_registration_event", "event", "state", "waiting_since"),
    Index("ix_registration_party", "event", "party"),
    Index("ix_registration_customer_id", "customer_id"),
    Index("ix_registration_registrant_id", "registrant_id"),
    comment="one attendee of one event",
)

registration_change = Table(
    "registration_change",
    metadata,
    _id(),
    Column("registration_id", BigInteger, ForeignKey("registration.id", ondelete="CASCADE"), nullable=False),
    Column("state_from", Text),
    Column("state_to", Text, nullable=False),
    Column("because", Text, nullable=False),
    _at("at", nullable=False),
    Index("ix_registration_change_registration_id", "registration_id"),
    comment="append-only: what became of registrations",
)

# --- inquiries and surveys ---------------------------------------------------------------------------

inquiry = Table(
    "inquiry",
    metadata,
    _id(),
    Column("inquiry_key", Text, nullable=False, comment="equal whenever the same inquiry comes again"),
    Column("desk", Text, nullable=False, comment="an entry of `inquiries` in clarion.yaml"),
    Column("source", Text, nullable=False, comment="form, mail, api or operator"),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE")),
    Column("email", Text),
    Column("address_key", UUID, comment="of email"),
    Column("language", Text),
    Column("subject", Text, nullable=False),
    Column("content", Text, nullable=False, server_default=text("''")),
    _jsonb("fields"),
    Column(
        "mail_ids",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="Message-IDs of the mails it was made of: an answer to one of them belongs to it",
    ),
    Column("message_id", BigInteger, comment="the message that acknowledged it"),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("owner", Text, comment="an entry of `staff`; NULL: nobody's"),
    Column("level", SmallInteger, nullable=False, server_default=text("0"), comment="how often it escalated"),
    Column("task_id", BigInteger, ForeignKey("task.id", ondelete="SET NULL")),
    _at("received_at", nullable=False),
    _at("acknowledged_at"),
    _at("due_at", nullable=False, comment="by when it is to be answered"),
    _at("escalates_at", comment="when the next one of the chain, or the owner again, is told; NULL: it is answered"),
    _at("call_at", comment="when a call was agreed"),
    _at("answered_at"),
    Column("answered_by", Text),
    Column("outcome", Text),
    CheckConstraint("state IN ('open', 'answered', 'dropped')", name="state"),
    UniqueConstraint("inquiry_key"),
    Index("ix_inquiry_escalating", "escalates_at", postgresql_where=text("state = 'open'")),
    Index("ix_inquiry_customer_id", "customer_id"),
    Index("ix_inquiry_task_id", "task_id"),
    Index("ix_inquiry_address_key", "address_key"),
    Index("ix_inquiry_mail_ids", "mail_ids", postgresql_using="gin"),
    comment="what somebody asked of us: it is somebody's until it is answered",
)

survey_answer = Table(
    "survey_answer",
    metadata,
    _id(),
    Column("survey", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column(
        "occasion", Text, nullable=False, comment="the message, registration or link it was asked by: one answer each"
    ),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
    Column("message_id", BigInteger),
    Column("rating", SmallInteger),
    Column("choices", ARRAY(Text)),
    Column("words", Text),
    _at("answered_at", nullable=False),
    UniqueConstraint("survey", "question", "occasion", "customer_id"),
    Index("ix_survey_answer_customer_id", "customer_id"),
    comment="answers to surveys; who answers again corrects the answer",
)

leader = Table(
    "leader",
    metadata,
    Column("only", Boolean, primary_key=True, server_default=text("true")),
    Column(
        "epoch",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="raised by every election: what an older leader writes is refused",
    ),
    Column("holder", Text, comment="host and process"),
    _at("elected_at"),
    CheckConstraint('"only"', name="single_row"),
    comment="which scheduler leads",
)

# --- what came back --------------------------------------------------------------------------------------

hit = Table(
    "hit",
    metadata,
    _id(),
    Column("message_id", BigInteger, ForeignKey("message.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("link", SmallInteger, comment="position in campaign_version.links; None for a link of its own"),
    _at("occurred_at", nullable=False),
    Column("ip", INET),
    Column("user_agent", Text),
    Column("label", Text, nullable=False, server_default=text("'human'"), comment="human or machine"),
    Column("evidence", Text, comment="why it was labelled machine"),
    CheckConstraint("kind IN ('open', 'click', 'view', 'unsubscribe', 'reply')", name="kind"),
    CheckConstraint("label IN ('human', 'machine')", name="label"),
    Index("ix_hit_message_id_kind", "message_id", "kind"),
)

inbound_mail = Table(
    "inbound_mail",
    metadata,
    _id(),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the raw mail: the same mail is handled once"),
    Column("source", Text, nullable=False, comment="the listener or mailbox of `inbound` in clarion.yaml"),
    Column("envelope_to", Text, comment="the address it was delivered to, where known"),
    Column("raw", LargeBinary, comment="as it came; NULL once its time is up (retention)"),
    Column("size", Integer, nullable=False),
    Column("class", Text, comment="hard, soft, …, reply, unknown; NULL until it was read"),
    Column("state", Text, nullable=False, server_default=text("'received'")),
    Column("problem", Text, comment="why it was kept aside"),
    Column("attempt_count", SmallInteger, nullable=False, server_default=text("0"), comment="how often it was begun"),
    Column("message_id", BigInteger, comment="the message it answers, where that is known"),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="SET NULL")),
    _at("received_at", default=True),
    _at("handled_at"),
    CheckConstraint("state IN ('received', 'handled', 'kept_aside')", name="state"),
    UniqueConstraint("digest"),
    Index("ix_inbound_mail_open", "id", postgresql_where=text("state = 'received'")),
    Index("ix_inbound_mail_customer_id", "customer_id"),
    comment="every mail that came in; stored before its mailbox may forget it",
)

inbound_place = Table(
    "inbound_place",
    metadata,
    Column(
        "account", Text, primary_key=True, comment="user, server and folder of a mailbox of `inbound` in clarion.yaml"
    ),
    Column("uid_validity", BigInteger, nullable=False, comment="UIDs of another one are of other mails (RFC 3501)"),
    Column("last_uid", BigInteger, nullable=False, comment="every mail up to it was there before, or is done with"),
    comment="how far a mailbox on a server was read",
)

feedback = Table(
    "feedback",
    metadata,
    _id(),
    Column("event_key", Text, nullable=False, comment="equal whenever the same event is reported again"),
    Column("kind", Text, nullable=False, comment="delivered, hard, soft, mailbox_full, block, complaint, reply, …"),
    Column("source", Text, nullable=False, comment="mail, ses, sendgrid, mailgun or postmark"),
    Column("message_id", BigInteger, comment="where it could be matched"),
    Column("matched_by", Text, comment="verp, envelope_id, message_id, header, address"),
    Column("address_key", UUID),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="SET NULL")),
    Column("status", Text, comment="RFC 3463, for example 5.1.1"),
    Column("diagnostic", Text, comment="the reporter's words, at most 500 characters"),
    _jsonb("detail"),
    _at("occurred_at", nullable=False),
    _at("recorded_at", default=True),
    Column("effect", Text, comment="what it changed, in words; NULL: nothing"),
    Column(
        "pending",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="its message was in a worker's hands: the ledger hears of it later",
    ),
    UniqueConstraint("event_key"),
    Index("ix_feedback_pending", "id", postgresql_where=text("pending")),
    Index("ix_feedback_address_key_occurred_at", "address_key", "occurred_at"),
    Index("ix_feedback_message_id", "message_id"),
    Index("ix_feedback_customer_id", "customer_id"),
    comment="append-only: what receivers, providers and people reported about messages",
)

# --- public pages ----------------------------------------------------------------------------------------

sign_up = Table(
    "sign_up",
    metadata,
    _id(),
    Column("form", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("address_key", UUID, nullable=False),
    Column("limit_key", UUID, nullable=False, comment="the same for spellings of one mailbox (plus, dots)"),
    Column("topics", ARRAY(Text), nullable=False),
    _jsonb("fields"),
    Column("wording", Text),
    Column("wording_hash", Text),
    Column("language", Text),
    Column("ip", INET),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="CASCADE")),
    _at("requested_at", default=True),
    _at("mailed_at", comment="when a confirmation was ordered; NULL: a limit kept it back"),
    _at("confirmed_at"),
    Index("ix_sign_up_limit_key_requested_at", "limit_key", "requested_at"),
    Index("ix_sign_up_address_key", "address_key"),
    Index("ix_sign_up_customer_id", "customer_id"),
    comment="what was entered into sign-up forms; consent only once it was confirmed",
)

rights_request = Table(
    "rights_request",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("address_key", UUID, nullable=False),
    Column("customer_id", BigInteger, ForeignKey("customer.id", ondelete="SET NULL")),
    Column("state", Text, nullable=False, server_default=text("'requested'")),
    _at("requested_at", default=True),
    _at("confirmed_at", comment="when the owner of the address said so by the link mailed there"),
    _at("done_at"),
    CheckConstraint("kind IN ('export', 'erase')", name="kind"),
    CheckConstraint("state IN ('requested', 'confirmed', 'done', 'refused')", name="state"),
    Index("ix_rights_request_address_key", "address_key", "requested_at"),
    Index("ix_rights_request_customer_id", "customer_id"),
    comment="people who ask for their data, or for being erased",
)

used_token = Table(
    "used_token",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    _at("used_at", default=True),
    _at("forget_at", nullable=False, comment="it has expired by then: nobody can use it any more"),
    Index("ix_used_token_forget_at", "forget_at"),
    comment="tokens that are good for one use, and were used",
)

api_call = Table(
    "api_call",
    metadata,
    Column("caller", Text, primary_key=True, comment="an entry of `api.keys` in clarion.yaml"),
    Column("call_key", LargeBinary, primary_key=True, comment="hash of the Idempotency-Key"),
    Column("content_hash", LargeBinary, nullable=False, comment="of what was asked for"),
    Column("status", SmallInteger, nullable=False),
    _jsonb("answer"),
    _at("called_at", nullable=False),
    _at("forget_at", nullable=False),
    Index("ix_api_call_forget_at", "forget_at"),
    comment="calls of the HTTP API that are answered alike when they come again",
)

public_count = Table(
    "public_count",
    metadata,
    Column("key", Text, primary_key=True, comment="what is limited, for example form:news|ip:192.0.2.0/24"),
    Column("period", DateTime(timezone=True), primary_key=True, comment="the beginning of the period counted"),
    Column("count", Integer, nullable=False),
    _at("forget_at", nullable=False),
    Index("ix_public_count_forget_at", "forget_at"),
    comment="requests to the public pages that are limited",
)

audit = Table(
    "audit",
    metadata,
    _id(),
    _at("at", default=True),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    _jsonb("detail"),
    Column("number", BigInteger, comment="place in the chain, by the order of commits; given by a trigger"),
    Column("seal", LargeBinary, comment="SHA-256 over the row and the seal before it: what is changed later shows"),
    UniqueConstraint("number"),
    comment="append-only: who did what; no message bodies, no addresses",
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("only", Boolean, primary_key=True, server_default=text("true")),
    Column("number", BigInteger, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    CheckConstraint('"only"', name="single_row"),
    comment="the last entry of the audit, so that entries cut off at the end show; its lock orders the chain",
)

installation = Table(
    "installation",
    metadata,
    Column("only", Boolean, primary_key=True, server_default=text("true")),
    Column("secret_check", Text, nullable=False, comment="tells a wrong secret; the secret cannot be had from it"),
    Column("created_on", Date, nullable=False, server_default=func.current_date()),
    CheckConstraint('"only"', name="single_row"),
)
