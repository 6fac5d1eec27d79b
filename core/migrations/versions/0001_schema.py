"""The first schema: customers, permission, the ledger, and what comes back."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None


def upgrade() -> None:
    op.create_table('audit',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('actor', sa.Text(), nullable=False),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit')),
    comment='append-only: who did what; no message bodies, no addresses'
    )
    op.create_table('campaign_version',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('campaign', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=False, comment='of the definition and everything it uses'),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('topic', sa.Text(), nullable=False),
    sa.Column('definition', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='the campaign, its segment texts and template sources'),
    sa.Column('links', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False, comment='tracked targets by position'),
    sa.Column('piece', sa.Text(), nullable=False, comment='fingerprint of the unpersonalised content'),
    sa.Column('goal_event', sa.Text(), nullable=True, comment="the activity that counts as conversion; 'purchase' means orders"),
    sa.Column('goal_within', sa.Interval(), nullable=True),
    sa.Column('fixed_cost', sa.Numeric(precision=18, scale=4), server_default=sa.text('0'), nullable=False),
    sa.Column('cost_per_message', sa.Numeric(precision=18, scale=6), server_default=sa.text('0'), nullable=False),
    sa.Column('currency', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_campaign_version')),
    sa.UniqueConstraint('campaign', 'fingerprint', name=op.f('uq_campaign_version_campaign_fingerprint'))
    )
    op.create_table('customer',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('external_id', sa.Text(), nullable=False, comment='the key in the system the customer came from'),
    sa.Column('email', sa.Text(), nullable=True, comment='as sent to: local part as entered, domain in lower case'),
    sa.Column('address_key', sa.UUID(), nullable=True, comment='keyed hash of the comparable form of email (core.ids.address_key)'),
    sa.Column('smtputf8', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('first_name', sa.Text(), nullable=True),
    sa.Column('last_name', sa.Text(), nullable=True),
    sa.Column('company', sa.Text(), nullable=True),
    sa.Column('phone', sa.Text(), nullable=True),
    sa.Column('country', sa.Text(), nullable=True, comment='ISO 3166-1 alpha-2 where known, else as imported'),
    sa.Column('language', sa.Text(), nullable=True, comment='BCP 47'),
    sa.Column('zone', sa.Text(), nullable=True, comment='IANA time zone name'),
    sa.Column('owner', sa.Text(), nullable=True, comment='the employee a key customer belongs to'),
    sa.Column('attributes', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('source', sa.Text(), nullable=True, comment='where the row came from, for example the file name of its first import'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_customer')),
    sa.UniqueConstraint('external_id', name=op.f('uq_customer_external_id'))
    )
    op.create_index('ix_customer_address_key', 'customer', ['address_key'], unique=False)
    op.create_table('import_run',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('file_name', sa.Text(), nullable=False),
    sa.Column('encoding', sa.Text(), nullable=True),
    sa.Column('counts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('imported_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_import_run'))
    )
    op.create_table('installation',
    sa.Column('only', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('secret_check', sa.Text(), nullable=False, comment='tells a wrong secret; the secret cannot be had from it'),
    sa.Column('created_on', sa.Date(), server_default=sa.text('CURRENT_DATE'), nullable=False),
    sa.CheckConstraint('"only"', name=op.f('ck_installation_single_row')),
    sa.PrimaryKeyConstraint('only', name=op.f('pk_installation'))
    )
    op.create_table('schedule_tick',
    sa.Column('schedule', sa.Text(), nullable=False),
    sa.Column('nominal_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('done_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('schedule', 'nominal_at', name=op.f('pk_schedule_tick')),
    comment='a tick that was carried out; it is never carried out again'
    )
    op.create_table('suppression',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('address_key', sa.UUID(), nullable=False),
    sa.Column('channel', sa.Text(), server_default=sa.text("'email'"), nullable=False),
    sa.Column('scope', sa.Text(), nullable=False, comment='global, channel, topic or campaign'),
    sa.Column('scope_name', sa.Text(), server_default=sa.text("''"), nullable=False, comment='the topic or campaign'),
    sa.Column('reason', sa.Text(), nullable=False, comment='unsubscribed, hard_bounce, complaint, manual, legal, …'),
    sa.Column('source', sa.Text(), nullable=False, comment='what recorded it: one_click, page, import, operator, …'),
    sa.Column('evidence', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lifted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lifted_because', sa.Text(), nullable=True),
    sa.CheckConstraint("scope IN ('global', 'channel', 'topic', 'campaign')", name=op.f('ck_suppression_scope')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_suppression')),
    comment='an entry without lifted_at, not yet expired, forbids sending; outranks everything'
    )
    op.create_index('uq_suppression_active', 'suppression', ['address_key', 'channel', 'scope', 'scope_name', 'reason'], unique=True, postgresql_where=sa.text('lifted_at IS NULL'))
    op.create_table('activity',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False, comment='what the customer did, for example page_view, ticket_opened'),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('properties', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('value', sa.Numeric(precision=18, scale=4), nullable=True),
    sa.Column('source', sa.Text(), nullable=True),
    sa.Column('event_key', sa.Text(), nullable=False, comment='equal on every import of the same activity'),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_activity_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_activity')),
    sa.UniqueConstraint('event_key', name=op.f('uq_activity_event_key'))
    )
    op.create_index('ix_activity_customer_id_name_occurred_at', 'activity', ['customer_id', 'name', 'occurred_at'], unique=False)
    op.create_table('consent',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('channel', sa.Text(), server_default=sa.text("'email'"), nullable=False),
    sa.Column('topic', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('basis', sa.Text(), nullable=False, comment='consent, soft_opt_in, contract, legitimate_interest, implied'),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('wording', sa.Text(), nullable=True, comment='version of the text that was agreed to'),
    sa.Column('proof', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('captured_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('granted', 'confirmed', 'withdrawn')", name=op.f('ck_consent_state')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_consent_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_consent')),
    sa.UniqueConstraint('customer_id', 'channel', 'topic', 'captured_at', 'state', 'source', name='uq_consent_fact'),
    comment='append-only; the latest row of a customer, channel and topic counts'
    )
    op.create_index('ix_consent_latest', 'consent', ['customer_id', 'channel', 'topic', sa.literal_column('captured_at DESC'), sa.literal_column('id DESC')], unique=False)
    op.create_table('customer_metrics',
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('first_order_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_order_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('order_count', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='frequency: distinct orders'),
    sa.Column('monetary', sa.Numeric(precision=18, scale=4), server_default=sa.text('0'), nullable=False, comment='net of returns'),
    sa.Column('gross_profit', sa.Numeric(precision=18, scale=4), server_default=sa.text('0'), nullable=False),
    sa.Column('average_order_value', sa.Numeric(precision=18, scale=4), nullable=True),
    sa.Column('recency_days', sa.Integer(), nullable=True, comment='whole days from the last order to as_of'),
    sa.Column('recency_score', sa.SmallInteger(), nullable=True),
    sa.Column('frequency_score', sa.SmallInteger(), nullable=True),
    sa.Column('monetary_score', sa.SmallInteger(), nullable=True),
    sa.Column('rfm', sa.Text(), nullable=True, comment='named group of the recency and frequency scores'),
    sa.Column('abc', sa.Text(), nullable=True),
    sa.Column('pyramid', sa.Text(), server_default=sa.text("'suspect'"), nullable=False),
    sa.Column('quadrant', sa.Text(), nullable=True),
    sa.Column('as_of', sa.DateTime(timezone=True), nullable=False, comment='the instant the metrics describe'),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_customer_metrics_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('customer_id', name=op.f('pk_customer_metrics'))
    )
    op.create_table('purchase',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('order_id', sa.Text(), nullable=False),
    sa.Column('line_key', sa.Text(), nullable=False, comment='tells the lines of one order apart, equal on every import'),
    sa.Column('ordered_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('product', sa.Text(), nullable=True),
    sa.Column('category', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('quantity', sa.Numeric(precision=18, scale=4), server_default=sa.text('1'), nullable=False, comment='negative: returned'),
    sa.Column('amount', sa.Numeric(precision=18, scale=4), nullable=False, comment='of the line; negative: returned or cancelled'),
    sa.Column('cost', sa.Numeric(precision=18, scale=4), nullable=True, comment='what the goods of the line cost us'),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_purchase_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_purchase')),
    sa.UniqueConstraint('order_id', 'line_key', name=op.f('uq_purchase_order_id_line_key'))
    )
    op.create_index('ix_purchase_customer_id_ordered_at', 'purchase', ['customer_id', 'ordered_at'], unique=False)
    op.create_table('run',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('campaign', sa.Text(), nullable=False),
    sa.Column('version_id', sa.BigInteger(), nullable=False),
    sa.Column('step', sa.Text(), nullable=False),
    sa.Column('occurrence', sa.Text(), nullable=False, comment="'1' for a broadcast, the nominal time for a recurring one"),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('fault', sa.Text(), nullable=True, comment='why its messages cannot go at present; NULL as soon as they do'),
    sa.Column('audience', sa.BigInteger(), server_default=sa.text('0'), nullable=False, comment='rows in message, counted once'),
    sa.Column('digest', sa.Text(), nullable=False, comment="of who is in it and why not; equal to the plan's"),
    sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('valid_until', sa.DateTime(timezone=True), nullable=True, comment='messages not handed over by then are skipped as expired'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('running', 'paused', 'finished', 'cancelled')", name=op.f('ck_run_state')),
    sa.ForeignKeyConstraint(['version_id'], ['campaign_version.id'], name=op.f('fk_run_version_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_run'))
    )
    op.create_index('ix_run_campaign', 'run', ['campaign', sa.literal_column('id DESC')], unique=False)
    op.create_table('schedule',
    sa.Column('campaign', sa.Text(), nullable=False),
    sa.Column('version_id', sa.BigInteger(), nullable=False),
    sa.Column('cron', sa.Text(), nullable=False),
    sa.Column('zone', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), server_default=sa.text("'active'"), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False, comment='times before it are never made up for'),
    sa.CheckConstraint("state IN ('active', 'paused', 'cancelled')", name=op.f('ck_schedule_state')),
    sa.ForeignKeyConstraint(['version_id'], ['campaign_version.id'], name=op.f('fk_schedule_version_id')),
    sa.PrimaryKeyConstraint('campaign', name=op.f('pk_schedule')),
    comment='the recurring campaigns that were applied'
    )
    op.create_table('tier_change',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('scheme', sa.Text(), nullable=False, comment='rfm, abc, pyramid or quadrant'),
    sa.Column('level_from', sa.Text(), nullable=True),
    sa.Column('level_to', sa.Text(), nullable=True),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_tier_change_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tier_change'))
    )
    op.create_index('ix_tier_change_customer_id', 'tier_change', ['customer_id'], unique=False)
    op.create_index('ix_tier_change_scheme_changed_at', 'tier_change', ['scheme', 'changed_at'], unique=False)
    op.create_table('batch',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('run_id', sa.BigInteger(), nullable=False),
    sa.Column('queue', sa.Text(), server_default=sa.text("'bulk'"), nullable=False, comment='bulk or transactional'),
    sa.Column('message_ids', postgresql.ARRAY(sa.BigInteger()), nullable=False),
    sa.Column('state', sa.Text(), server_default=sa.text("'ready'"), nullable=False),
    sa.Column('not_before', sa.DateTime(timezone=True), nullable=False),
    sa.Column('published_at', sa.DateTime(timezone=True), nullable=True, comment='when the broker was last told of it'),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True, comment="by the database's clock"),
    sa.Column('worker', sa.Text(), nullable=True),
    sa.Column('claim_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.CheckConstraint("state IN ('ready', 'claimed', 'done')", name=op.f('ck_batch_state')),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_batch_run_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_batch')),
    comment='a piece of work for one worker: a few hundred messages of one run'
    )
    op.create_index('ix_batch_open', 'batch', ['not_before'], unique=False, postgresql_where=sa.text("state <> 'done'"))
    op.create_index('ix_batch_run_id', 'batch', ['run_id'], unique=False)
    op.create_table('message',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('run_id', sa.BigInteger(), nullable=False),
    sa.Column('campaign', sa.Text(), nullable=False),
    sa.Column('step', sa.Text(), nullable=False),
    sa.Column('occurrence', sa.Text(), nullable=False),
    sa.Column('customer_id', sa.BigInteger(), nullable=True),
    sa.Column('address_key', sa.UUID(), nullable=True, comment='NULL for a customer without an address, who is skipped'),
    sa.Column('state', postgresql.ENUM('planned', 'claimed', 'handed_over', 'accepted', 'deferred', 'failed', 'unknown', 'skipped', 'delivered', 'bounced', 'complained', name='message_state'), nullable=False),
    sa.Column('skip_reason', sa.Text(), nullable=True),
    sa.Column('not_before', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when the message came into its state'),
    sa.Column('attempt_count', sa.SmallInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('accepted_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(state = 'skipped') = (skip_reason IS NOT NULL)", name=op.f('ck_message_skip_reason')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_message_customer_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name=op.f('fk_message_run_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_message')),
    comment='the ledger: one row per person of a frozen audience. No index names state: its updates stay HOT',
    postgresql_with={'fillfactor': 75}
    )
    op.create_index('ix_message_customer_id', 'message', ['customer_id'], unique=False)
    op.create_index('uq_message_address', 'message', ['campaign', 'step', 'occurrence', 'address_key'], unique=True, postgresql_where=sa.text('skip_reason IS NULL'))
    op.create_index('uq_message_customer', 'message', ['run_id', 'customer_id'], unique=True)
    op.create_table('attempt',
    sa.Column('message_id', sa.BigInteger(), nullable=False),
    sa.Column('number', sa.SmallInteger(), nullable=False, comment='1 for the first hand-over'),
    sa.Column('transport', sa.Text(), nullable=False),
    sa.Column('worker', sa.Text(), nullable=False),
    sa.Column('outcome', postgresql.ENUM('planned', 'claimed', 'handed_over', 'accepted', 'deferred', 'failed', 'unknown', 'skipped', 'delivered', 'bounced', 'complained', name='message_state'), nullable=False),
    sa.Column('code', sa.SmallInteger(), nullable=True, comment='the three-digit reply'),
    sa.Column('enhanced', sa.Text(), nullable=True, comment='RFC 3463 status, for example 5.1.1'),
    sa.Column('reply', sa.Text(), nullable=True, comment="the server's words, at most 500 characters"),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['message_id'], ['message.id'], name=op.f('fk_attempt_message_id'), ondelete='CASCADE'),
    comment='append-only: every hand-over and what became of it'
    )
    op.create_index('ix_attempt_message_id', 'attempt', ['message_id'], unique=False)
    op.create_table('hit',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('message_id', sa.BigInteger(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('link', sa.SmallInteger(), nullable=True, comment='position in campaign_version.links; None for a link of its own'),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ip', postgresql.INET(), nullable=True),
    sa.Column('user_agent', sa.Text(), nullable=True),
    sa.Column('label', sa.Text(), server_default=sa.text("'human'"), nullable=False, comment='human or machine'),
    sa.Column('evidence', sa.Text(), nullable=True, comment='why it was labelled machine'),
    sa.CheckConstraint("kind IN ('open', 'click', 'view', 'unsubscribe')", name=op.f('ck_hit_kind')),
    sa.CheckConstraint("label IN ('human', 'machine')", name=op.f('ck_hit_label')),
    sa.ForeignKeyConstraint(['message_id'], ['message.id'], name=op.f('fk_hit_message_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hit'))
    )
    op.create_index('ix_hit_message_id_kind', 'hit', ['message_id', 'kind'], unique=False)
    op.execute("""
        CREATE VIEW "customer_order" AS
        SELECT customer_id, order_id, min(ordered_at) AS ordered_at, sum(amount) AS amount
        FROM purchase GROUP BY customer_id, order_id
    """)
    op.execute("""
        CREATE VIEW "conversion" AS
        SELECT DISTINCT ON (r.campaign, done.customer_id, done.reference)
               r.campaign, m.run_id, m.id AS message_id, done.customer_id, done.reference, done.at, done.value
        FROM message m
        JOIN run r ON r.id = m.run_id
        JOIN campaign_version v ON v.id = r.version_id
        JOIN LATERAL (
            SELECT o.customer_id, 'order:' || o.order_id AS reference, o.at, net.value
            FROM (
                SELECT customer_id, order_id, min(ordered_at) AS at FROM purchase
                WHERE v.goal_event = 'purchase' AND customer_id = m.customer_id
                  AND ordered_at >= m.accepted_at AND ordered_at < m.accepted_at + v.goal_within
                GROUP BY customer_id, order_id
            ) o
            JOIN LATERAL (
                SELECT sum(l.amount) AS value, min(l.ordered_at) AS begun FROM purchase l
                WHERE l.order_id IN (o.order_id, 'C' || o.order_id) AND l.customer_id = o.customer_id
            ) net ON net.value > 0 AND net.begun >= m.accepted_at
            UNION ALL
            SELECT a.customer_id, 'activity:' || a.id, a.occurred_at, coalesce(a.value, 0)
            FROM activity a
            WHERE v.goal_event <> 'purchase' AND a.name = v.goal_event AND a.customer_id = m.customer_id
              AND a.occurred_at >= m.accepted_at AND a.occurred_at < m.accepted_at + v.goal_within
        ) done ON true
        WHERE m.accepted_at IS NOT NULL
        ORDER BY r.campaign, done.customer_id, done.reference, m.accepted_at DESC
    """)
