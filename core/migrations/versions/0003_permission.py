"""Permission and pressure: consent by wording, feedback, tasks, rights, holds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    op.create_table('blocked_digest',
    sa.Column('digest', sa.LargeBinary(), nullable=False, comment='MD5 (16 octets) or SHA-256 (32) of an address'),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False, comment='the list it came from'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('lifted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lifted_because', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_blocked_digest')),
    comment='hashed do-not-contact lists: whoever has such an address, now or later, is suppressed'
    )
    op.create_table('erasure',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('address_key', sa.UUID(), nullable=True, comment='keyed hash; all that is left of the address'),
    sa.Column('external_key', sa.UUID(), nullable=False, comment='keyed hash of the external id'),
    sa.Column('person', sa.UUID(), nullable=False, comment="the same in all rows of one person's erasure; leads nowhere"),
    sa.Column('erased_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('source', sa.Text(), nullable=False, comment='operator, request, or replay'),
    sa.Column('readmitted_at', sa.DateTime(timezone=True), nullable=True, comment='they came back: imports take them again; NULL: they are refused'),
    sa.Column('readmitted_because', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_erasure')),
    comment='who was erased: to be refused by imports, and erased again in a database that was restored'
    )
    op.create_index('ix_erasure_address_key', 'erasure', ['address_key'], unique=False)
    op.create_index('ix_erasure_external_key', 'erasure', ['external_key'], unique=False)
    op.create_table('public_count',
    sa.Column('key', sa.Text(), nullable=False, comment='what is limited, for example form:news|ip:192.0.2.0/24'),
    sa.Column('period', sa.DateTime(timezone=True), nullable=False, comment='the beginning of the period counted'),
    sa.Column('count', sa.Integer(), nullable=False),
    sa.Column('forget_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('key', 'period', name=op.f('pk_public_count')),
    comment='requests to the public pages that are limited'
    )
    op.create_index('ix_public_count_forget_at', 'public_count', ['forget_at'], unique=False)
    op.create_table('used_token',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('forget_at', sa.DateTime(timezone=True), nullable=False, comment='it has expired by then: nobody can use it any more'),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_used_token')),
    comment='tokens that are good for one use, and were used'
    )
    op.create_index('ix_used_token_forget_at', 'used_token', ['forget_at'], unique=False)
    op.create_table('customer_address',
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('address_key', sa.UUID(), nullable=False),
    sa.Column('email', sa.Text(), nullable=False, comment='an address the customer had before, or of a merged customer'),
    sa.Column('known_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_customer_address_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('customer_id', 'address_key', name=op.f('pk_customer_address')),
    comment='further addresses of customers; nothing is sent there'
    )
    op.create_index('ix_customer_address_address_key', 'customer_address', ['address_key'], unique=False)
    op.create_table('customer_alias',
    sa.Column('external_id', sa.Text(), nullable=False, comment='of a customer that was merged into another one'),
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('merged_because', sa.Text(), nullable=False),
    sa.Column('merged_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_customer_alias_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('external_id', name=op.f('pk_customer_alias')),
    comment='names of merged customers: an import that gives one means the customer they became'
    )
    op.create_index('ix_customer_alias_customer_id', 'customer_alias', ['customer_id'], unique=False)
    op.create_table('feedback',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('event_key', sa.Text(), nullable=False, comment='equal whenever the same event is reported again'),
    sa.Column('kind', sa.Text(), nullable=False, comment='delivered, hard, soft, mailbox_full, block, complaint, reply, …'),
    sa.Column('source', sa.Text(), nullable=False, comment='mail, ses, sendgrid, mailgun or postmark'),
    sa.Column('message_id', sa.BigInteger(), nullable=True, comment='where it could be matched'),
    sa.Column('matched_by', sa.Text(), nullable=True, comment='verp, envelope_id, message_id, header, address'),
    sa.Column('address_key', sa.UUID(), nullable=True),
    sa.Column('customer_id', sa.BigInteger(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True, comment='RFC 3463, for example 5.1.1'),
    sa.Column('diagnostic', sa.Text(), nullable=True, comment="the reporter's words, at most 500 characters"),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('effect', sa.Text(), nullable=True, comment='what it changed, in words; NULL: nothing'),
    sa.Column('pending', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment="its message was in a worker's hands: the ledger hears of it later"),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_feedback_customer_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_feedback')),
    sa.UniqueConstraint('event_key', name=op.f('uq_feedback_event_key')),
    comment='append-only: what receivers, providers and people reported about messages'
    )
    op.create_index('ix_feedback_address_key_occurred_at', 'feedback', ['address_key', 'occurred_at'], unique=False)
    op.create_index('ix_feedback_customer_id', 'feedback', ['customer_id'], unique=False)
    op.create_index('ix_feedback_pending', 'feedback', ['id'], unique=False, postgresql_where=sa.text('pending'))
    op.create_index('ix_feedback_message_id', 'feedback', ['message_id'], unique=False)
    op.create_table('inbound_mail',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False, comment='SHA-256 of the raw mail: the same mail is handled once'),
    sa.Column('source', sa.Text(), nullable=False, comment='the listener or mailbox of `inbound` in clarion.yaml'),
    sa.Column('envelope_to', sa.Text(), nullable=True, comment='the address it was delivered to, where known'),
    sa.Column('raw', sa.LargeBinary(), nullable=True, comment='as it came; NULL once its time is up (retention)'),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('class', sa.Text(), nullable=True, comment='hard, soft, …, reply, unknown; NULL until it was read'),
    sa.Column('state', sa.Text(), server_default=sa.text("'received'"), nullable=False),
    sa.Column('problem', sa.Text(), nullable=True, comment='why it was kept aside'),
    sa.Column('attempt_count', sa.SmallInteger(), server_default=sa.text('0'), nullable=False, comment='how often it was begun'),
    sa.Column('message_id', sa.BigInteger(), nullable=True, comment='the message it answers, where that is known'),
    sa.Column('customer_id', sa.BigInteger(), nullable=True),
    sa.Column('received_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('handled_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('received', 'handled', 'kept_aside')", name=op.f('ck_inbound_mail_state')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_inbound_mail_customer_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_inbound_mail')),
    sa.UniqueConstraint('digest', name=op.f('uq_inbound_mail_digest')),
    comment='every mail that came in; stored before its mailbox may forget it'
    )
    op.create_table('inbound_place',
    sa.Column('account', sa.Text(), nullable=False, comment='user, server and folder of a mailbox of `inbound` in clarion.yaml'),
    sa.Column('uid_validity', sa.BigInteger(), nullable=False, comment='UIDs of another one are of other mails (RFC 3501)'),
    sa.Column('last_uid', sa.BigInteger(), nullable=False, comment='every mail up to it was there before, or is done with'),
    sa.PrimaryKeyConstraint('account', name=op.f('pk_inbound_place')),
    comment='how far a mailbox on a server was read'
    )
    op.create_index('ix_inbound_mail_customer_id', 'inbound_mail', ['customer_id'], unique=False)
    op.create_index('ix_inbound_mail_open', 'inbound_mail', ['id'], unique=False, postgresql_where=sa.text("state = 'received'"))
    op.create_table('preference',
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('most_messages', sa.SmallInteger(), nullable=True, comment='of all bulk mail within `most_within`; NULL: no wish'),
    sa.Column('most_within', sa.Interval(), nullable=True),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.CheckConstraint('(most_messages IS NULL) = (most_within IS NULL)', name=op.f('ck_preference_most')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_preference_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('customer_id', name=op.f('pk_preference')),
    comment='how often a customer wants to be written to'
    )
    op.create_index('ix_preference_wish', 'preference', ['customer_id'], unique=False, postgresql_where=sa.text('most_messages IS NOT NULL'))
    op.create_table('rights_request',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('address_key', sa.UUID(), nullable=False),
    sa.Column('customer_id', sa.BigInteger(), nullable=True),
    sa.Column('state', sa.Text(), server_default=sa.text("'requested'"), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the owner of the address said so by the link mailed there'),
    sa.Column('done_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("kind IN ('export', 'erase')", name=op.f('ck_rights_request_kind')),
    sa.CheckConstraint("state IN ('requested', 'confirmed', 'done', 'refused')", name=op.f('ck_rights_request_state')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_rights_request_customer_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_rights_request')),
    comment='people who ask for their data, or for being erased'
    )
    op.create_index('ix_rights_request_address_key', 'rights_request', ['address_key', 'requested_at'], unique=False)
    op.create_index('ix_rights_request_customer_id', 'rights_request', ['customer_id'], unique=False)
    op.create_table('sign_up',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('form', sa.Text(), nullable=False),
    sa.Column('email', sa.Text(), nullable=False),
    sa.Column('address_key', sa.UUID(), nullable=False),
    sa.Column('limit_key', sa.UUID(), nullable=False, comment='the same for spellings of one mailbox (plus, dots)'),
    sa.Column('topics', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('fields', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('wording', sa.Text(), nullable=True),
    sa.Column('wording_hash', sa.Text(), nullable=True),
    sa.Column('language', sa.Text(), nullable=True),
    sa.Column('ip', postgresql.INET(), nullable=True),
    sa.Column('customer_id', sa.BigInteger(), nullable=True),
    sa.Column('requested_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('mailed_at', sa.DateTime(timezone=True), nullable=True, comment='when a confirmation was ordered; NULL: a limit kept it back'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_sign_up_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sign_up')),
    comment='what was entered into sign-up forms; consent only once it was confirmed'
    )
    op.create_index('ix_sign_up_address_key', 'sign_up', ['address_key'], unique=False)
    op.create_index('ix_sign_up_customer_id', 'sign_up', ['customer_id'], unique=False)
    op.create_index('ix_sign_up_limit_key_requested_at', 'sign_up', ['limit_key', 'requested_at'], unique=False)
    op.create_table('staff_notice',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('notice_key', sa.Text(), nullable=False, comment='equal whenever the same thing is to be told again'),
    sa.Column('recipient', sa.Text(), nullable=False, comment='an e-mail address of the staff'),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('content', sa.LargeBinary(), nullable=True, comment='the whole message; NULL once it was sent'),
    sa.Column('customer_id', sa.BigInteger(), nullable=True),
    sa.Column('state', sa.Text(), server_default=sa.text("'planned'"), nullable=False),
    sa.Column('attempt_count', sa.SmallInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('fault', sa.Text(), nullable=True),
    sa.Column('not_before', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('planned', 'handed_over', 'accepted', 'failed')", name=op.f('ck_staff_notice_state')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_staff_notice_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_staff_notice')),
    sa.UniqueConstraint('notice_key', name=op.f('uq_staff_notice_notice_key')),
    comment='mail to employees: replies of customers, alerts, digests'
    )
    op.create_index('ix_staff_notice_open', 'staff_notice', ['not_before'], unique=False, postgresql_where=sa.text("state IN ('planned', 'handed_over')"))
    op.create_table('task',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('task_key', sa.Text(), nullable=False, comment='equal whenever the same thing asks for it again'),
    sa.Column('kind', sa.Text(), nullable=False, comment='key_account, reply, …'),
    sa.Column('owner', sa.Text(), nullable=True, comment="an entry of `staff` in clarion.yaml; NULL: nobody's yet"),
    sa.Column('customer_id', sa.BigInteger(), nullable=True),
    sa.Column('campaign', sa.Text(), nullable=True),
    sa.Column('message_id', sa.BigInteger(), nullable=True, comment='the message it is about'),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('body', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('state', sa.Text(), server_default=sa.text("'open'"), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('done_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('done_by', sa.Text(), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=True),
    sa.CheckConstraint("state IN ('open', 'done', 'dropped')", name=op.f('ck_task_state')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_task_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_task')),
    sa.UniqueConstraint('task_key', name=op.f('uq_task_task_key')),
    comment='what an employee has to do for a customer'
    )
    op.create_index('ix_task_customer_id', 'task', ['customer_id'], unique=False)
    op.create_index('ix_task_open', 'task', ['owner', 'due_at'], unique=False, postgresql_where=sa.text("state = 'open'"))
    op.create_index('ix_task_unwritten', 'task', ['id'], unique=False, postgresql_where=sa.text("body = '' AND kind = 'key_account'"))
    op.add_column('audit', sa.Column('seal', sa.LargeBinary(), nullable=True, comment='SHA-256 over the row and the seal before it: what is changed later shows'))
    op.add_column('audit', sa.Column('number', sa.BigInteger(), nullable=True, comment='place in the chain, by the order of commits; given by a trigger'))
    op.create_unique_constraint(op.f('uq_audit_number'), 'audit', ['number'])
    op.create_table('audit_head',
    sa.Column('only', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('seal', sa.LargeBinary(), nullable=False),
    sa.CheckConstraint('"only"', name=op.f('ck_audit_head_single_row')),
    sa.PrimaryKeyConstraint('only', name=op.f('pk_audit_head')),
    comment='the last entry of the audit, so that entries cut off at the end show; its lock orders the chain'
    )
    _seal_the_audit()
    op.create_table('erased_conversion',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('message_id', sa.BigInteger(), nullable=False),
    sa.Column('reference', sa.UUID(), nullable=False, comment='the same for what was one order; leads nowhere'),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('value', sa.Numeric(precision=18, scale=4), nullable=False),
    sa.Column('currency', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['message_id'], ['message.id'], name=op.f('fk_erased_conversion_message_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_erased_conversion')),
    comment='what people bought who were erased since, so that the figures of campaigns stay as they were'
    )
    op.create_index('ix_erased_conversion_message_id', 'erased_conversion', ['message_id'], unique=False)
    _keep_conversions_of_erased_people()
    op.create_index('ix_campaign_version_piece', 'campaign_version', ['piece'], unique=False)
    op.create_index('ix_message_nameless', 'message', ['address_key'], unique=False, postgresql_where=sa.text('customer_id IS NULL'))
    op.add_column('consent', sa.Column('wording_hash', sa.Text(), nullable=True, comment='SHA-256 of that text, in hexadecimal digits'))
    op.create_table_comment(
        'consent',
        'append-only; the latest row of a customer, channel and topic counts, requests aside',
        existing_comment='append-only; the latest row of a customer, channel and topic counts',
        schema=None
    )
    op.add_column('customer', sa.Column('person', sa.Text(), nullable=True, comment='customers with the same value are one human being with several addresses'))
    op.add_column('customer', sa.Column('household', sa.Text(), nullable=True, comment='customers with the same value live together'))
    op.create_index('ix_customer_company', 'customer', [sa.literal_column('lower(company)')], unique=False, postgresql_where=sa.text('company IS NOT NULL'))
    op.create_index('ix_customer_household', 'customer', ['household'], unique=False, postgresql_where=sa.text('household IS NOT NULL'))
    op.create_index('ix_customer_person', 'customer', ['person'], unique=False, postgresql_where=sa.text('person IS NOT NULL'))
    op.add_column('message', sa.Column('hold_reason', sa.Text(), nullable=True, comment='why it waits beyond its time: quiet_hours, frequency_cap, …'))
    op.add_column('message', sa.Column('held_at', sa.DateTime(timezone=True), nullable=True, comment='when a cap or an open case first held it; how long it waits counts from then'))
    op.add_column('run', sa.Column('priority', sa.SmallInteger(), server_default=sa.text('0'), nullable=False, comment='of two runs that cannot both write to a person, the one with the higher number does'))
    op.drop_constraint("state", "consent", type_="check")
    op.create_check_constraint("state", "consent", "state IN ('requested', 'granted', 'confirmed', 'withdrawn')")
    op.drop_constraint("kind", "hit", type_="check")
    op.create_check_constraint("kind", "hit", "kind IN ('open', 'click', 'view', 'unsubscribe', 'reply')")


def _seal_the_audit() -> None:
    """Entries are chained when they are committed, those there already by their ids; then they stay as they are."""
    op.execute("INSERT INTO audit_head (number, seal) VALUES (0, '')")
    op.execute("""
        CREATE FUNCTION audit_seal(entry audit, before audit_head) RETURNS bytea LANGUAGE sql STABLE AS $$
            SELECT sha256(before.seal || convert_to(jsonb_build_array(
                before.number + 1, to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
                entry.actor, entry.action, entry.subject, entry.detail
            )::text, 'UTF8'))
        $$
    """)
    # The row of audit_head stays locked until the transaction has ended, and the trigger runs when it is ending.
    op.execute("""
        CREATE FUNCTION audit_append() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE head audit_head;
        BEGIN
            SELECT * INTO STRICT head FROM audit_head FOR UPDATE;
            UPDATE audit a SET number = head.number + 1, seal = audit_seal(a, head)
            WHERE a.id = NEW.id RETURNING a.number, a.seal INTO head.number, head.seal;
            UPDATE audit_head SET number = head.number, seal = head.seal;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the audit is append-only';
        END $$
    """)
    op.execute("""
        DO $$
        DECLARE head audit_head; entry audit;
        BEGIN
            SELECT * INTO STRICT head FROM audit_head;
            FOR entry IN SELECT * FROM audit ORDER BY id LOOP
                head.seal := audit_seal(entry, head);
                head.number := head.number + 1;
                UPDATE audit SET number = head.number, seal = head.seal WHERE id = entry.id;
            END LOOP;
            UPDATE audit_head SET number = head.number, seal = head.seal;
        END $$
    """)
    op.execute("""
        CREATE CONSTRAINT TRIGGER audit_append AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION audit_append()
    """)
    op.execute("""
        CREATE TRIGGER audit_kept BEFORE UPDATE ON audit FOR EACH ROW WHEN (OLD.seal IS NOT NULL)
        EXECUTE FUNCTION audit_refuse()
    """)
    op.execute("""
        CREATE TRIGGER audit_not_removed BEFORE DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()
    """)


def _keep_conversions_of_erased_people() -> None:
    op.execute("""
        CREATE OR REPLACE VIEW "conversion" AS
            (
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
            )
            UNION ALL
            SELECT m.campaign, m.run_id, m.id, NULL, 'erased:' || e.reference, e.at, e.value
            FROM erased_conversion e JOIN message m ON m.id = e.message_id
    """)
    op.add_column('campaign_version', sa.Column('by_behaviour', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='its segments look at what people did: who refused profiling is left out'))
    op.add_column('campaign_version', sa.Column('repeats', sa.Boolean(), nullable=True, comment='a message in doubt is sent again; NULL: if it is transactional'))
    op.create_index('ix_consent_watching', 'consent', ['customer_id', 'channel', sa.literal_column('captured_at DESC'), sa.literal_column('id DESC')], unique=False, postgresql_where=sa.text("channel IN ('tracking', 'profiling')"))
    # Why a row of consent is no yes, by the rules of the customer's country; an empty text when it is one. An implied
    # consent ends 24 calendar months (in UTC) after a purchase, contract or donation, 6 after an inquiry or where
    # nobody knows what it came from, or at its own end if that is sooner; a purchase since then counts anew.
    op.execute("""
        CREATE FUNCTION implied_until(word consent, at timestamptz) RETURNS timestamptz
        LANGUAGE sql STABLE PARALLEL SAFE AS $$
            SELECT greatest(
                least(
                    (said.at AT TIME ZONE 'UTC' + CASE
                        WHEN word.basis = 'contract'
                          OR word.proof ->> 'relation' IN ('purchase', 'contract', 'donation')
                        THEN interval '24 months' ELSE interval '6 months' END) AT TIME ZONE 'UTC',
                    word.expires_at
                ),
                (SELECT (max(ordered_at) AT TIME ZONE 'UTC' + interval '24 months') AT TIME ZONE 'UTC' FROM purchase
                 WHERE customer_id = word.customer_id AND ordered_at >= said.at AND ordered_at <= implied_until.at
                   AND amount > 0)
            )
            -- What was said before is said again where customers are merged: it ends when it would have.
            FROM (SELECT coalesce((word.proof ->> 'said_at')::timestamptz, word.captured_at)) AS said (at)
        $$
    """)
    op.execute("""
        CREATE FUNCTION consent_flaw(word consent, rules jsonb, at timestamptz) RETURNS text
        LANGUAGE sql STABLE PARALLEL SAFE AS $$
            SELECT CASE
                WHEN wants IS NULL THEN 'basis_not_enough'
                WHEN wants ? 'evidence' AND (
                    word.proof @> '{"similar_products": true, "opt_out_offered": true}' AND word.proof ->> 'sale' <> ''
                    AND word.proof ->> 'subscriber' IN ('individual', 'corporate')
                ) IS NOT TRUE THEN 'basis_not_enough'
                WHEN wants ? 'firm' AND word.proof ->> 'subscriber' IS DISTINCT FROM 'corporate' THEN 'basis_not_enough'
                WHEN wants ? 'confirmed' AND word.state <> 'confirmed' THEN 'not_confirmed'
                WHEN CASE WHEN wants ? 'ending' THEN implied_until(word, at) ELSE word.expires_at END <= at
                THEN 'consent_expired'
                ELSE '' END
            FROM (
                SELECT rules -> 'profiles' -> coalesce(rules -> 'of' ->> c.country, rules ->> 'else') -> word.basis
                FROM customer AS c WHERE c.id = word.customer_id
            ) AS known (wants)
        $$
    """)
    # Whoever gets an address that is on a hashed list is suppressed, by whatever way the address came. The lists hold
    # the hash of the address in lower case; of a domain outside ASCII also that of its A-label, see `a_label`.
    op.execute("""
        CREATE FUNCTION a_label(label text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
        -- One label of a domain name as it is asked for (RFC 3492); an ASCII label is itself.
        DECLARE
            points int[] := ARRAY(SELECT ascii(c) FROM string_to_table(label, NULL) WITH ORDINALITY AS s(c, place)
                                  ORDER BY place);
            encoded text := (SELECT coalesce(string_agg(chr(p), '' ORDER BY place), '')
                             FROM unnest(points) WITH ORDINALITY AS s(p, place) WHERE p < 128);
            digits constant text := 'abcdefghijklmnopqrstuvwxyz0123456789';
            basic int := length(encoded);
            handled int := basic;
            n int := 128; delta int := 0; bias int := 72; next int; q int; k int; t int; p int;
        BEGIN
            IF basic = cardinality(points) THEN
                RETURN label;
            END IF;
            IF basic > 0 THEN
                encoded := encoded || '-';
            END IF;
            WHILE handled < cardinality(points) LOOP
                SELECT min(u) INTO next FROM unnest(points) AS u WHERE u >= n;
                delta := delta + (next - n) * (handled + 1);
                n := next;
                FOREACH p IN ARRAY points LOOP
                    IF p < n THEN
                        delta := delta + 1;
                    ELSIF p = n THEN
                        q := delta;
                        k := 36;
                        LOOP
                            t := greatest(1, least(26, k - bias));
                            EXIT WHEN q < t;
                            encoded := encoded || substr(digits, t + (q - t) % (36 - t) + 1, 1);
                            q := (q - t) / (36 - t);
                            k := k + 36;
                        END LOOP;
                        encoded := encoded || substr(digits, q + 1, 1);
                        delta := CASE WHEN handled = basic THEN delta / 700 ELSE delta / 2 END;
                        delta := delta + delta / (handled + 1);
                        k := 0;
                        WHILE delta > 455 LOOP
                            delta := delta / 35;
                            k := k + 36;
                        END LOOP;
                        bias := k + 36 * delta / (delta + 38);
                        delta := 0;
                        handled := handled + 1;
                    END IF;
                END LOOP;
                delta := delta + 1;
                n := n + 1;
            END LOOP;
            RETURN 'xn--' || encoded;
        END $$
    """)
    # Both are to be inlined, so neither is STRICT: called as functions they took ten times as long.
    op.execute("""
        CREATE FUNCTION idn_spelling(email text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT lower(split_part(email, '@', 1)) || '@' || (
                SELECT string_agg(a_label(label), '.' ORDER BY place)
                FROM string_to_table(lower(split_part(email, '@', 2)), '.') WITH ORDINALITY AS s(label, place)
            )
        $$
    """)
    op.execute("""
        CREATE FUNCTION address_digests(email text) RETURNS SETOF bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT sha256(convert_to(lower(email), 'UTF8'))
            UNION ALL SELECT decode(md5(convert_to(lower(email), 'UTF8')), 'hex')
            UNION ALL SELECT sha256(convert_to(idn_spelling(email), 'UTF8')) WHERE octet_length(email) <> length(email)
            UNION ALL SELECT decode(md5(convert_to(idn_spelling(email), 'UTF8')), 'hex')
                      WHERE octet_length(email) <> length(email)
        $$
    """)
    for name, given, condition in (
        ("customer_listed", "INSERT ON customer REFERENCING NEW TABLE AS now_known", "true"),
        ("customer_listed_anew", "UPDATE ON customer REFERENCING OLD TABLE AS known NEW TABLE AS now_known",
         "NOT EXISTS (SELECT FROM known WHERE known.id = n.id AND known.email = n.email)"),
    ):  # fmt: skip
        op.execute(f"""
            CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF EXISTS (SELECT FROM blocked_digest WHERE lifted_at IS NULL) THEN
                    -- An entry that ends makes room for the one for good.
                    UPDATE suppression AS s SET lifted_at = now(), lifted_because = 'replaced by a later entry'
                    FROM now_known AS n CROSS JOIN LATERAL address_digests(n.email) AS d
                    JOIN blocked_digest AS b ON b.digest = d AND b.lifted_at IS NULL
                    WHERE s.address_key = n.address_key AND s.channel = 'email' AND s.scope = 'global'
                      AND s.scope_name = '' AND s.reason = b.reason AND s.lifted_at IS NULL
                      AND s.expires_at IS NOT NULL AND {condition};
                    INSERT INTO suppression (address_key, scope, reason, source, evidence)
                    SELECT DISTINCT ON (n.address_key, b.reason)
                           n.address_key, 'global', b.reason, 'hashed_list', jsonb_build_object('list', b.source)
                    FROM now_known AS n CROSS JOIN LATERAL address_digests(n.email) AS d
                    JOIN blocked_digest AS b ON b.digest = d AND b.lifted_at IS NULL
                    WHERE n.address_key IS NOT NULL AND {condition}
                    ORDER BY n.address_key, b.reason, b.created_at
                    ON CONFLICT (address_key, channel, scope, scope_name, reason) WHERE lifted_at IS NULL DO NOTHING;
                END IF;
                IF EXISTS (
                    SELECT FROM consent WHERE channel IN ('tracking', 'profiling') AND state = 'withdrawn'
                ) THEN
                    -- Who refuses to be watched refuses for the mailbox: whoever comes to it later is bound as well.
                    INSERT INTO consent (customer_id, channel, topic, state, basis, source, proof, captured_at)
                    SELECT DISTINCT ON (n.id, refusal.channel) n.id, refusal.channel, '', 'withdrawn', 'consent',
                           'address', jsonb_build_object('consent_id', refusal.id), n.updated_at
                    FROM consent AS refusal JOIN customer AS p ON p.id = refusal.customer_id
                    JOIN now_known AS n ON n.address_key = p.address_key AND n.id <> p.id
                    WHERE refusal.channel IN ('tracking', 'profiling') AND refusal.state = 'withdrawn' AND {condition}
                      AND NOT EXISTS (
                          SELECT FROM consent AS later
                          WHERE later.customer_id = p.id AND later.channel = refusal.channel
                            AND later.state IN ('granted', 'confirmed')
                            AND (later.captured_at, later.id) > (refusal.captured_at, refusal.id)
                      )
                    ORDER BY n.id, refusal.channel, refusal.captured_at DESC
                    ON CONFLICT ON CONSTRAINT uq_consent_fact DO NOTHING;
                END IF;
                RETURN NULL;
            END $$
        """)
        op.execute(f"CREATE TRIGGER {name} AFTER {given} FOR EACH STATEMENT EXECUTE FUNCTION {name}()")
    _keep_opt_outs_with_the_person()


def _keep_opt_outs_with_the_person() -> None:
    """Customers with the same `person` are one human being: what one says no to at an address holds at the others.

    Entries that tell of a mailbox stay there (`customers.merging.words.OF_MAILBOX`). A copy has the source
    of its entry, which it names as evidence, and is not copied on: nobody is reached by way of a shared mailbox.
    """
    personal = "reason NOT IN ('hard_bounce', 'soft_bounces', 'mailbox_full', 'erased')"
    entry = "channel, scope, scope_name, reason"
    op.execute(f"""
        CREATE FUNCTION copy_entries(ids bigint[], places uuid[]) RETURNS void LANGUAGE plpgsql AS $$
        -- Each entry holds at the place beside it, too.
        BEGIN
            UPDATE suppression AS s SET lifted_at = now(), lifted_because = 'replaced by a later entry'
            FROM unnest(ids, places) AS pair (id, place) JOIN suppression AS e USING (id)
            WHERE s.address_key = pair.place AND s.lifted_at IS NULL
              AND (s.channel, s.scope, s.scope_name, s.reason) = (e.channel, e.scope, e.scope_name, e.reason)
              AND s.expires_at < coalesce(e.expires_at, 'infinity');
            INSERT INTO suppression (address_key, {entry}, source, evidence, created_at, expires_at)
            SELECT DISTINCT ON (place, {entry}) place, {entry}, source,
                   jsonb_build_object('same_person', e.id), created_at, expires_at
            FROM unnest(ids, places) AS pair (id, place) JOIN suppression AS e USING (id)
            ORDER BY place, {entry}, coalesce(expires_at, 'infinity') DESC, e.id
            ON CONFLICT (address_key, {entry}) WHERE lifted_at IS NULL DO NOTHING;
        END $$
    """)  # noqa: S608  made of our own names
    # Two who write at two addresses of one person would wait for each other's copies: the second waits from the start.
    op.execute("""
        CREATE FUNCTION suppression_person_alone() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtextextended('person:' || person, 0)) FROM (
                SELECT DISTINCT person FROM customer
                WHERE address_key = NEW.address_key AND person IS NOT NULL ORDER BY person
            ) AS people;
            RETURN NEW;
        END $$
    """)
    op.execute(f"""
        CREATE TRIGGER suppression_person_alone BEFORE INSERT ON suppression
        FOR EACH ROW WHEN (NOT NEW.evidence ? 'same_person' AND NEW.{personal})
        EXECUTE FUNCTION suppression_person_alone()
    """)
    op.execute(f"""
        CREATE FUNCTION suppression_of_person() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE ids bigint[]; places uuid[];
        BEGIN
            SELECT array_agg(id), array_agg(place) INTO ids, places FROM (
                SELECT DISTINCT w.id, other.address_key AS place
                FROM written AS w
                JOIN customer AS mine ON mine.address_key = w.address_key AND mine.person IS NOT NULL
                JOIN customer AS other ON other.person = mine.person AND other.address_key <> w.address_key
                WHERE w.lifted_at IS NULL AND NOT w.evidence ? 'same_person' AND w.{personal}
            ) AS pair;
            IF ids IS NOT NULL THEN
                PERFORM copy_entries(ids, places);
            END IF;
            RETURN NULL;
        END $$
    """)  # noqa: S608  made of our own names
    op.execute("""
        CREATE TRIGGER suppression_of_person AFTER INSERT ON suppression REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION suppression_of_person()
    """)
    # A break is over at all addresses when the person ends it at one.
    op.execute("""
        CREATE FUNCTION suppression_pause_over() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE suppression SET lifted_at = NEW.lifted_at, lifted_because = NEW.lifted_because
            FROM customer AS mine JOIN customer AS other ON other.person = mine.person
            WHERE mine.address_key = NEW.address_key AND suppression.address_key = other.address_key
              AND suppression.lifted_at IS NULL AND suppression.reason = 'paused'
              AND (suppression.evidence ? 'same_person' OR NEW.evidence ? 'same_person')
              AND suppression.expires_at = NEW.expires_at;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER suppression_pause_over AFTER UPDATE OF lifted_at ON suppression
        FOR EACH ROW WHEN (OLD.lifted_at IS NULL AND NEW.lifted_at IS NOT NULL AND NEW.reason = 'paused'
                           AND NEW.lifted_because <> 'replaced by a later entry')
        EXECUTE FUNCTION suppression_pause_over()
    """)
    for name, given, condition in (
        ("customer_one_person", "INSERT ON customer REFERENCING NEW TABLE AS now_known", "true"),
        ("customer_one_person_anew", "UPDATE ON customer REFERENCING OLD TABLE AS known NEW TABLE AS now_known",
         """NOT EXISTS (SELECT FROM known WHERE known.id = n.id AND known.person = n.person
                        AND known.address_key = n.address_key)"""),
    ):  # fmt: skip
        op.execute(f"""
            CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE ids bigint[]; places uuid[];
            BEGIN
                IF NOT EXISTS (SELECT FROM now_known WHERE person IS NOT NULL) THEN
                    RETURN NULL;
                END IF;
                SELECT array_agg(e.id), array_agg(way.place) INTO ids, places FROM (
                    SELECT DISTINCT place.*
                    FROM now_known AS n JOIN customer AS other ON other.person = n.person
                    CROSS JOIN LATERAL (VALUES (n.address_key, other.address_key), (other.address_key, n.address_key))
                        AS place (of, place)
                    WHERE other.address_key <> n.address_key AND {condition}
                ) AS way JOIN suppression AS e ON e.address_key = way.of AND e.lifted_at IS NULL AND e.{personal};
                IF ids IS NOT NULL THEN
                    PERFORM copy_entries(ids, places);
                END IF;
                RETURN NULL;
            END $$
        """)  # noqa: S608  made of our own names
        op.execute(f"CREATE TRIGGER {name} AFTER {given} FOR EACH STATEMENT EXECUTE FUNCTION {name}()")
