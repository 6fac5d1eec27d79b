"""Permission and pressure: consent by wording, feedback, tasks, rights, holds."""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.migrations.revision_0003 import audit, consents, conversions, hashed_lists, one_person

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    _know_who_is_one_person()
    _ask_what_a_yes_rests_on()
    _catch_listed_addresses()
    _keep_opt_outs_with_the_person()
    _let_messages_wait()
    _store_mails_that_come_in()
    _hear_what_comes_back()
    _give_employees_work()
    _open_public_pages()
    _limit_public_pages()
    _remember_the_erased()
    _seal_the_audit()


def _make(statements: Iterable[str], comments: Mapping[str, str] | None = None) -> None:
    for statement in statements:
        op.execute(statement)
    for what, words in (comments or {}).items():
        op.execute(f"COMMENT ON {what} IS '{words}'")


def _know_who_is_one_person() -> None:
    """Customers may be one human being, or live together; names and addresses of merged ones stay known."""
    op.add_column('customer', sa.Column('person', sa.Text(), nullable=True, comment='customers with the same value are one human being with several addresses'))
    op.add_column('customer', sa.Column('household', sa.Text(), nullable=True, comment='customers with the same value live together'))
    op.create_index('ix_customer_company', 'customer', [sa.literal_column('lower(company)')], unique=False, postgresql_where=sa.text('company IS NOT NULL'))
    op.create_index('ix_customer_household', 'customer', ['household'], unique=False, postgresql_where=sa.text('household IS NOT NULL'))
    op.create_index('ix_customer_person', 'customer', ['person'], unique=False, postgresql_where=sa.text('person IS NOT NULL'))
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


def _ask_what_a_yes_rests_on() -> None:
    """A consent names its wording and may have been asked for only; whether it counts, the country's rules say."""
    op.add_column('consent', sa.Column('wording_hash', sa.Text(), nullable=True, comment='SHA-256 of that text, in hexadecimal digits'))
    op.create_table_comment(
        'consent',
        'append-only; the latest row of a customer, channel and topic counts, requests aside',
        existing_comment='append-only; the latest row of a customer, channel and topic counts',
        schema=None
    )
    op.drop_constraint("state", "consent", type_="check")
    op.create_check_constraint("state", "consent", "state IN ('requested', 'granted', 'confirmed', 'withdrawn')")
    op.create_index('ix_consent_watching', 'consent', ['customer_id', 'channel', sa.literal_column('captured_at DESC'), sa.literal_column('id DESC')], unique=False, postgresql_where=sa.text("channel IN ('tracking', 'profiling')"))
    _make(consents.STATEMENTS, consents.COMMENTS)


def _catch_listed_addresses() -> None:
    """Whoever has an address that is on a hashed list, now or later, is suppressed."""
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
    _make(hashed_lists.STATEMENTS, hashed_lists.COMMENTS)


def _keep_opt_outs_with_the_person() -> None:
    """What a person says no to at one address holds at the others."""
    _make(one_person.STATEMENTS, one_person.COMMENTS)


def _let_messages_wait() -> None:
    """Messages are held for caps, quiet hours and open cases; campaigns say which goes first, and what they look at."""
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
    op.add_column('message', sa.Column('hold_reason', sa.Text(), nullable=True, comment='why it waits beyond its time: quiet_hours, frequency_cap, …'))
    op.add_column('message', sa.Column('held_at', sa.DateTime(timezone=True), nullable=True, comment='when a cap or an open case first held it; how long it waits counts from then'))
    op.add_column('run', sa.Column('priority', sa.SmallInteger(), server_default=sa.text('0'), nullable=False, comment='of two runs that cannot both write to a person, the one with the higher number does'))
    op.add_column('campaign_version', sa.Column('by_behaviour', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='its segments look at what people did: who refused profiling is left out'))
    op.add_column('campaign_version', sa.Column('repeats', sa.Boolean(), nullable=True, comment='a message in doubt is sent again; NULL: if it is transactional'))
    op.create_index('ix_campaign_version_piece', 'campaign_version', ['piece'], unique=False)
    op.create_index('ix_message_nameless', 'message', ['address_key'], unique=False, postgresql_where=sa.text('customer_id IS NULL'))


def _store_mails_that_come_in() -> None:
    """Mails that come in are stored before their mailbox may forget them."""
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
    op.create_index('ix_inbound_mail_customer_id', 'inbound_mail', ['customer_id'], unique=False)
    op.create_table('inbound_place',
    sa.Column('account', sa.Text(), nullable=False, comment='user, server and folder of a mailbox of `inbound` in clarion.yaml'),
    sa.Column('uid_validity', sa.BigInteger(), nullable=False, comment='UIDs of another one are of other mails (RFC 3501)'),
    sa.Column('last_uid', sa.BigInteger(), nullable=False, comment='every mail up to it was there before, or is done with'),
    sa.PrimaryKeyConstraint('account', name=op.f('pk_inbound_place')),
    comment='how far a mailbox on a server was read'
    )
    op.create_index('ix_inbound_mail_open', 'inbound_mail', ['id'], unique=False, postgresql_where=sa.text("state = 'received'"))


def _hear_what_comes_back() -> None:
    """What receivers, providers and people report about messages is kept; an answer is a hit."""
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
    op.drop_constraint("kind", "hit", type_="check")
    op.create_check_constraint("kind", "hit", "kind IN ('open', 'click', 'view', 'unsubscribe', 'reply')")


def _give_employees_work() -> None:
    """Employees have tasks, and are told by mail."""
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


def _open_public_pages() -> None:
    """People sign up, and ask for their rights."""
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


def _limit_public_pages() -> None:
    """A link is good for one use, and requests are counted."""
    op.create_table('used_token',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('forget_at', sa.DateTime(timezone=True), nullable=False, comment='it has expired by then: nobody can use it any more'),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_used_token')),
    comment='tokens that are good for one use, and were used'
    )
    op.create_index('ix_used_token_forget_at', 'used_token', ['forget_at'], unique=False)
    op.create_table('public_count',
    sa.Column('key', sa.Text(), nullable=False, comment='what is limited, for example form:news|ip:192.0.2.0/24'),
    sa.Column('period', sa.DateTime(timezone=True), nullable=False, comment='the beginning of the period counted'),
    sa.Column('count', sa.Integer(), nullable=False),
    sa.Column('forget_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('key', 'period', name=op.f('pk_public_count')),
    comment='requests to the public pages that are limited'
    )
    op.create_index('ix_public_count_forget_at', 'public_count', ['forget_at'], unique=False)


def _remember_the_erased() -> None:
    """Who was erased stays away; what they bought still counts."""
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
    _make(conversions.STATEMENTS)


def _seal_the_audit() -> None:
    """Entries of the audit are a chain that shows later changes; those there already are in it, by their ids."""
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
    _make(audit.STATEMENTS, audit.COMMENTS)
