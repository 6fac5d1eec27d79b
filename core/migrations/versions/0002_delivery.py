"""Delivery: classes, stages, throttles, kept content."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'

_STATES = (
    "planned", "handed_over", "accepted", "deferred", "failed", "unknown", "skipped", "delivered", "bounced",
    "complained",
)  # fmt: skip


def upgrade() -> None:
    op.create_table('asset',
    sa.Column('digest', sa.Text(), nullable=False, comment='SHA-256 of the content, in hexadecimal digits'),
    sa.Column('content', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_asset')),
    comment='attachments and inline images; versions name them by digest, so that what runs cannot change'
    )
    op.create_table('domain_tally',
    sa.Column('domain', sa.Text(), nullable=False),
    sa.Column('minute', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempt_count', sa.Integer(), nullable=False),
    sa.Column('hard_count', sa.Integer(), nullable=False),
    sa.Column('first_at', sa.DateTime(timezone=True), nullable=True, comment='since when they were waited for; NULL: since the minute began'),
    sa.PrimaryKeyConstraint('domain', 'minute', name=op.f('pk_domain_tally')),
    comment='answers by recipient domain and minute, for the last hours: tells an outage from dead addresses'
    )
    op.create_table('throttle',
    sa.Column('key', sa.Text(), nullable=False, comment='transport:<name>, or domain:<recipient domain>'),
    sa.Column('next_at', sa.DateTime(timezone=True), nullable=True, comment='when the next message may go, by its rate (GCRA: the theoretical arrival time)'),
    sa.Column('booked_until', sa.DateTime(timezone=True), nullable=True, comment='until when messages that had to wait were given a time'),
    sa.Column('factor', sa.Numeric(precision=6, scale=4), server_default=sa.text('1'), nullable=False, comment='of its rate, after it was cut'),
    sa.Column('factor_at', sa.DateTime(timezone=True), nullable=True, comment='when the rate was last cut; it rises again with time'),
    sa.Column('base_rate', sa.Numeric(precision=12, scale=4), nullable=True, comment='messages a second it had when cut; NULL: its rate is set'),
    sa.Column('fault_count', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='faults without success between'),
    sa.Column('held_at', sa.DateTime(timezone=True), nullable=True, comment='since when nothing goes; NULL: it may'),
    sa.Column('held_until', sa.DateTime(timezone=True), nullable=True, comment='it may go again from then on; NULL: when somebody resumes it'),
    sa.Column('held_because', sa.Text(), nullable=True),
    sa.Column('held_by', sa.Text(), nullable=True, comment='breaker, trial (one batch tries it again), operator or hard_bounces'),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_throttle')),
    comment='how fast a transport or a recipient domain may be served, and whether it is held; shared by all workers'
    )
    op.create_table('volume',
    sa.Column('key', sa.Text(), nullable=False, comment='transport:<name>, or transport:<name>|domain:<domain>'),
    sa.Column('day', sa.Date(), nullable=False, comment="in the organisation's zone"),
    sa.Column('message_count', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.PrimaryKeyConstraint('key', 'day', name=op.f('pk_volume')),
    comment='messages let through a day, for warm-up plans'
    )
    op.create_table('kept_content',
    sa.Column('message_id', sa.BigInteger(), nullable=False),
    sa.Column('content', sa.LargeBinary(), nullable=False, comment='compressed by zlib'),
    sa.ForeignKeyConstraint(['message_id'], ['message.id'], name=op.f('fk_kept_content_message_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('message_id', name=op.f('pk_kept_content')),
    comment='the bytes of messages that may have to be sent again, exactly as they were; gone once settled'
    )
    op.add_column('attempt', sa.Column('bounce_class', sa.Text(), nullable=True, comment='of a refusal: hard, soft, mailbox_full, block, message_fault, …'))
    op.add_column('batch', sa.Column('stage', sa.SmallInteger(), server_default=sa.text('0'), nullable=False, comment='of a staged roll-out: it waits until its run has come to this stage'))
    op.add_column('batch', sa.Column('attempt_count', sa.SmallInteger(), server_default=sa.text('0'), nullable=False, comment='attempts its messages had when it was cut; one with more was tried in it'))
    op.add_column('batch', sa.Column('waits_from', sa.SmallInteger(), server_default=sa.text('0'), nullable=False, comment='attempts before `clarion retry`, which no longer count towards giving up'))
    op.add_column('batch', sa.Column('booked_at', sa.DateTime(timezone=True), nullable=True, comment='when a throttle gave its messages their time; NULL: they never had to wait for one'))
    op.add_column('campaign_version', sa.Column('message_class', sa.Text(), server_default=sa.text("'bulk'"), nullable=False, comment='bulk, or transactional: owed to one person, so sent again rather than lost'))
    op.add_column('campaign_version', sa.Column('valid_for', sa.Interval(), nullable=True, comment='transactional: not handed over this long after its time, it is expired'))
    op.drop_index('uq_message_customer', table_name='message')
    op.create_index('uq_message_customer', 'message', ['run_id', 'customer_id', 'occurrence'], unique=True)
    op.add_column('message', sa.Column('given', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment='values that came with the order to send it; NULL for a frozen audience'))
    op.add_column('run', sa.Column('stage', sa.SmallInteger(), server_default=sa.text('0'), nullable=False, comment='of a staged roll-out: batches of this stage and earlier ones may go'))
    op.add_column('run', sa.Column('stage_ended_at', sa.DateTime(timezone=True), nullable=True, comment='when the last batch of the stage was done; its answers are watched from then on'))
    op.create_check_constraint("message_class", "campaign_version", "message_class IN ('bulk', 'transactional')")
    op.drop_constraint("fk_attempt_message_id", "attempt", type_="foreignkey")
    _count_attempts_of_open_batches()
    _forget_claimed_messages()


def _count_attempts_of_open_batches() -> None:
    """What an open batch was cut with: of a retry, its messages had been tried. One tried in it since has one more."""
    op.execute("""
        UPDATE batch SET attempt_count = cut.attempts
        FROM (
            SELECT b.id, min(m.attempt_count - CASE WHEN m.state IN ('planned', 'claimed') OR b.state = 'ready'
                                                    THEN 0 ELSE 1 END) AS attempts
            FROM batch AS b JOIN message AS m ON m.id = ANY(b.message_ids)
            WHERE b.state = 'claimed' AND m.state <> 'skipped'
               OR b.state = 'ready' AND m.state IN ('planned', 'deferred', 'claimed')
            GROUP BY b.id
        ) AS cut
        WHERE batch.id = cut.id AND cut.attempts > 0
    """)


def _forget_claimed_messages() -> None:
    """A message in a worker's hands is one whose batch is claimed: it has no state of its own for that."""
    states = ", ".join(f"'{state}'" for state in _STATES)
    op.execute("ALTER TYPE message_state RENAME TO former_message_state")
    op.execute(f"CREATE TYPE message_state AS ENUM ({states})")
    op.execute("ALTER TABLE message DROP CONSTRAINT ck_message_skip_reason")
    op.execute("UPDATE message SET state = 'planned' WHERE state = 'claimed'")
    for table, column in (("message", "state"), ("attempt", "outcome")):
        to_new = f"ALTER COLUMN {column} TYPE message_state USING {column}::text::message_state"
        op.execute(f"ALTER TABLE {table} {to_new}")
    op.create_check_constraint("skip_reason", "message", "(state = 'skipped') = (skip_reason IS NOT NULL)")
    op.execute("DROP TYPE former_message_state")
