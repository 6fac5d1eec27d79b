"""Sequences and events: passages, registrations, inquiries, answers, and who leads."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'


def upgrade() -> None:
    _pin_sequences()
    _pass_customers_through_sequences()
    _call_other_systems()
    _end_steps_with_their_passage()
    _hold_events()
    _answer_inquiries()
    _know_who_leads()
    _leave_runs_open()
    _say_what_schedules_lack()
    _tell_when_activities_are_known()
    _remember_calls()
    _leave_room_in_the_ledger()


def _pin_sequences() -> None:
    """Sequences, at each state of their files."""
    op.create_table('sequence_version',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('sequence', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=False, comment='of the file and everything it uses'),
    sa.Column('definition', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='the file, its segment texts, and the versions its steps send'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sequence_version')),
    sa.UniqueConstraint('sequence', 'fingerprint', name=op.f('uq_sequence_version_sequence_fingerprint')),
    comment='a sequence at one state of its files; each enrolment is pinned to one'
    )
    op.create_table('sequence',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('version_id', sa.BigInteger(), nullable=False, comment='of new enrolments'),
    sa.Column('state', sa.Text(), server_default=sa.text("'active'"), nullable=False),
    sa.Column('fault', sa.Text(), nullable=True, comment='why it does not go on at present; NULL: it does'),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False, comment='what people did before is never made up for'),
    sa.Column('looked_at', sa.DateTime(timezone=True), nullable=True, comment='when its segment was last looked at for new members'),
    sa.CheckConstraint("state IN ('active', 'paused', 'cancelled')", name=op.f('ck_sequence_state')),
    sa.ForeignKeyConstraint(['version_id'], ['sequence_version.id'], name=op.f('fk_sequence_version_id')),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_sequence')),
    comment='the sequences that were applied'
    )


def _pass_customers_through_sequences() -> None:
    """The passages of customers through them, and how far what people did was read."""
    op.create_table('activity_mark',
    sa.Column('reader', sa.Text(), nullable=False, comment='who reads activities in the order they became known'),
    sa.Column('activity_id', sa.BigInteger(), nullable=False, comment='all up to it were read; none of them can still come'),
    sa.PrimaryKeyConstraint('reader', name=op.f('pk_activity_mark')),
    comment='how far activities were looked at for enrolments and waits'
    )
    op.create_table('enrolment',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('sequence', sa.Text(), nullable=False),
    sa.Column('version_id', sa.BigInteger(), nullable=False),
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('entry_key', sa.Text(), server_default=sa.text("''"), nullable=False, comment='tells passages apart, such as an order'),
    sa.Column('number', sa.Integer(), server_default=sa.text('1'), nullable=False, comment='of the passages with this key'),
    sa.Column('state', sa.Text(), server_default=sa.text("'active'"), nullable=False),
    sa.Column('step', sa.Text(), nullable=False, comment='the step that comes next, or last came'),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True, comment='when the step is to be looked at; NULL: ended'),
    sa.Column('nominal_at', sa.DateTime(timezone=True), nullable=False, comment='the time it was due by its plan: waits count from it, not from when it was looked at'),
    sa.Column('step_since', sa.DateTime(timezone=True), nullable=False, comment='when it came to the step'),
    sa.Column('entered_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_because', sa.Text(), nullable=True, comment='completed, exit_when, goal, exit step, cancelled, …'),
    sa.Column('source', sa.Text(), nullable=False, comment='segment, event, api or operator'),
    sa.Column('source_key', sa.Text(), nullable=True, comment='of the activity it came from: one activity enrols once'),
    sa.Column('given', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.CheckConstraint("(state = 'active') = (due_at IS NOT NULL)", name=op.f('ck_enrolment_due')),
    sa.CheckConstraint("state IN ('active', 'completed', 'exited')", name=op.f('ck_enrolment_state')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_enrolment_customer_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['version_id'], ['sequence_version.id'], name=op.f('fk_enrolment_version_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_enrolment')),
    sa.UniqueConstraint('customer_id', 'sequence', 'entry_key', 'number', name=op.f('uq_enrolment_customer_id_sequence_entry_key_number')),
    comment='one passage of one customer through a sequence'
    )
    op.create_index('ix_enrolment_due', 'enrolment', ['sequence', 'due_at'], unique=False, postgresql_where=sa.text("state = 'active'"))
    op.create_index('uq_enrolment_source', 'enrolment', ['sequence', 'source_key'], unique=True, postgresql_where=sa.text('source_key IS NOT NULL'))
    op.create_table('enrolment_step',
    sa.Column('enrolment_id', sa.BigInteger(), nullable=False),
    sa.Column('step', sa.Text(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False, comment='sent, skipped:<reason>, waited, timed_out, went:<step>, task, …'),
    sa.Column('message_id', sa.BigInteger(), nullable=True),
    sa.Column('done_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('enrolment_id', 'step', name=op.f('pk_enrolment_step')),
    comment='append-only: a step that an enrolment did is never done again; the key keeps that promise'
    )


def _call_other_systems() -> None:
    """What steps tell other systems."""
    op.create_table('webhook_call',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('call_key', sa.Text(), nullable=False, comment='equal whenever the same thing asks for it again; sent as Idempotency-Key'),
    sa.Column('endpoint', sa.Text(), nullable=False, comment='an entry of `endpoints` in clarion.yaml'),
    sa.Column('content', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('customer_id', sa.BigInteger(), nullable=True),
    sa.Column('state', sa.Text(), server_default=sa.text("'planned'"), nullable=False),
    sa.Column('attempt_count', sa.SmallInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('fault', sa.Text(), nullable=True),
    sa.Column('not_before', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('planned', 'handed_over', 'accepted', 'failed')", name=op.f('ck_webhook_call_state')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_webhook_call_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook_call')),
    sa.UniqueConstraint('call_key', name=op.f('uq_webhook_call_call_key')),
    comment='calls of other systems that steps of sequences make'
    )
    op.create_index('ix_webhook_call_customer_id', 'webhook_call', ['customer_id'], unique=False)
    op.create_index('ix_webhook_call_open', 'webhook_call', ['not_before'], unique=False, postgresql_where=sa.text("state IN ('planned', 'handed_over')"))
    op.create_index('ix_webhook_call_endpoint', 'webhook_call', ['endpoint', 'not_before'], unique=False, postgresql_where=sa.text("state IN ('planned', 'handed_over')"))


def _end_steps_with_their_passage() -> None:
    """Steps go with the passage they belong to."""
    op.execute("""
        CREATE FUNCTION enrolment_gone() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            DELETE FROM enrolment_step AS s USING gone WHERE s.enrolment_id = gone.id;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER enrolment_gone AFTER DELETE ON enrolment REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION enrolment_gone()
    """)
    op.execute("COMMENT ON TRIGGER enrolment_gone ON enrolment IS 'the steps of a passage go with it'")


def _hold_events() -> None:
    """Events, who attends them, and what became of registrations."""
    op.create_table('event',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=False, comment='of the file and everything it uses'),
    sa.Column('definition', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('state', sa.Text(), server_default=sa.text("'open'"), nullable=False),
    sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('zone', sa.Text(), nullable=False),
    sa.Column('capacity', sa.Integer(), nullable=True, comment='seats; NULL: as many as come'),
    sa.Column('revision', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='raised with whatever calendars show'),
    sa.Column('told_revision', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='everybody who registered knows of it; below revision: some are still to be told'),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('cancelled_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('open', 'closed', 'cancelled')", name=op.f('ck_event_state')),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_event')),
    comment='the events that were applied; whoever gives or takes a seat locks its row'
    )
    op.create_table('registration',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('event', sa.Text(), nullable=False),
    sa.Column('customer_id', sa.BigInteger(), nullable=False, comment='who attends'),
    sa.Column('registrant_id', sa.BigInteger(), nullable=True, comment='who registered them; NULL: they did'),
    sa.Column('address_key', sa.UUID(), nullable=False, comment='of the attendee, when they registered'),
    sa.Column('uid', sa.Text(), nullable=False, comment='of the calendar entry, for life'),
    sa.Column('revision', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='SEQUENCE of the last calendar entry that was sent'),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('party', sa.Text(), nullable=False, comment='the same in all registrations of one order'),
    sa.Column('source', sa.Text(), nullable=False, comment='page, api, import or operator'),
    sa.Column('language', sa.Text(), nullable=True),
    sa.Column('answers', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('registered_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('waiting_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('event_revision', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='of the event as they know it; below that of the event: they are still to be told'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the seat they have became theirs; no reminder that was due before is sent'),
    sa.Column('offered_until', sa.DateTime(timezone=True), nullable=True, comment='a freed seat is kept for them until then'),
    sa.Column('cancelled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancelled_because', sa.Text(), nullable=True),
    sa.Column('checked_in_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('confirmed', 'waiting', 'offered', 'cancelled')", name=op.f('ck_registration_state')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_registration_customer_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['event'], ['event.name'], name=op.f('fk_registration_event')),
    sa.ForeignKeyConstraint(['registrant_id'], ['customer.id'], name=op.f('fk_registration_registrant_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_registration')),
    sa.UniqueConstraint('uid', name=op.f('uq_registration_uid')),
    comment='one attendee of one event'
    )
    op.create_index('ix_registration_customer_id', 'registration', ['customer_id'], unique=False)
    op.create_index('ix_registration_event', 'registration', ['event', 'state', 'waiting_since'], unique=False)
    op.create_index('ix_registration_party', 'registration', ['event', 'party'], unique=False)
    op.create_index('ix_registration_registrant_id', 'registration', ['registrant_id'], unique=False)
    op.create_index('uq_registration_attendee', 'registration', ['event', 'address_key'], unique=True, postgresql_where=sa.text("state <> 'cancelled'"))
    op.create_table('registration_change',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('registration_id', sa.BigInteger(), nullable=False),
    sa.Column('state_from', sa.Text(), nullable=True),
    sa.Column('state_to', sa.Text(), nullable=False),
    sa.Column('because', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['registration_id'], ['registration.id'], name=op.f('fk_registration_change_registration_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_registration_change')),
    comment='append-only: what became of registrations'
    )
    op.create_index('ix_registration_change_registration_id', 'registration_change', ['registration_id'], unique=False)


def _answer_inquiries() -> None:
    """Inquiries that are somebody's until they are answered, and answers to surveys."""
    op.create_table('survey_answer',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('survey', sa.Text(), nullable=False),
    sa.Column('question', sa.Text(), nullable=False),
    sa.Column('occasion', sa.Text(), nullable=False, comment='the message, registration or link it was asked by: one answer each'),
    sa.Column('customer_id', sa.BigInteger(), nullable=False),
    sa.Column('message_id', sa.BigInteger(), nullable=True),
    sa.Column('rating', sa.SmallInteger(), nullable=True),
    sa.Column('choices', postgresql.ARRAY(sa.Text()), nullable=True),
    sa.Column('words', sa.Text(), nullable=True),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_survey_answer_customer_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_survey_answer')),
    sa.UniqueConstraint('survey', 'question', 'occasion', 'customer_id', name=op.f('uq_survey_answer_survey_question_occasion_customer_id')),
    comment='answers to surveys; who answers again corrects the answer'
    )
    op.create_index('ix_survey_answer_customer_id', 'survey_answer', ['customer_id'], unique=False)
    op.create_table('inquiry',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('inquiry_key', sa.Text(), nullable=False, comment='equal whenever the same inquiry comes again'),
    sa.Column('desk', sa.Text(), nullable=False, comment='an entry of `inquiries` in clarion.yaml'),
    sa.Column('source', sa.Text(), nullable=False, comment='form, mail, api or operator'),
    sa.Column('customer_id', sa.BigInteger(), nullable=True),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('address_key', sa.UUID(), nullable=True, comment='of email'),
    sa.Column('language', sa.Text(), nullable=True),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('content', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('fields', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('mail_ids', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='Message-IDs of the mails it was made of: an answer to one of them belongs to it'),
    sa.Column('message_id', sa.BigInteger(), nullable=True, comment='the message that acknowledged it'),
    sa.Column('state', sa.Text(), server_default=sa.text("'open'"), nullable=False),
    sa.Column('owner', sa.Text(), nullable=True, comment="an entry of `staff`; NULL: nobody's"),
    sa.Column('level', sa.SmallInteger(), server_default=sa.text('0'), nullable=False, comment='how often it escalated'),
    sa.Column('task_id', sa.BigInteger(), nullable=True),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('acknowledged_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False, comment='by when it is to be answered'),
    sa.Column('escalates_at', sa.DateTime(timezone=True), nullable=True, comment='when the next one of the chain, or the owner again, is told; NULL: it is answered'),
    sa.Column('call_at', sa.DateTime(timezone=True), nullable=True, comment='when a call was agreed'),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('answered_by', sa.Text(), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=True),
    sa.CheckConstraint("state IN ('open', 'answered', 'dropped')", name=op.f('ck_inquiry_state')),
    sa.ForeignKeyConstraint(['customer_id'], ['customer.id'], name=op.f('fk_inquiry_customer_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['task_id'], ['task.id'], name=op.f('fk_inquiry_task_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_inquiry')),
    sa.UniqueConstraint('inquiry_key', name=op.f('uq_inquiry_inquiry_key')),
    comment="what somebody asked of us: it is somebody's until it is answered"
    )
    op.create_index('ix_inquiry_customer_id', 'inquiry', ['customer_id'], unique=False)
    op.create_index('ix_inquiry_escalating', 'inquiry', ['escalates_at'], unique=False, postgresql_where=sa.text("state = 'open'"))
    op.create_index('ix_inquiry_task_id', 'inquiry', ['task_id'], unique=False)
    op.create_index('ix_inquiry_address_key', 'inquiry', ['address_key'], unique=False)
    op.create_index('ix_inquiry_mail_ids', 'inquiry', ['mail_ids'], unique=False, postgresql_using='gin')


def _know_who_leads() -> None:
    """Which scheduler leads, by a number that only rises."""
    op.create_table('leader',
    sa.Column('only', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('epoch', sa.BigInteger(), server_default=sa.text('0'), nullable=False, comment='raised by every election: what an older leader writes is refused'),
    sa.Column('holder', sa.Text(), nullable=True, comment='host and process'),
    sa.Column('elected_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('"only"', name=op.f('ck_leader_single_row')),
    sa.PrimaryKeyConstraint('only', name=op.f('pk_leader')),
    comment='which scheduler leads'
    )


def _leave_runs_open() -> None:
    """Runs to which messages are added while they run, such as those of transactional campaigns."""
    op.add_column('run', sa.Column('open_ended', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='messages are added while it runs: its audience is what it holds'))
    op.execute("""
        UPDATE run SET open_ended = true FROM campaign_version AS v
        WHERE v.id = run.version_id AND v.message_class = 'transactional'
    """)


def _say_what_schedules_lack() -> None:
    """Why a recurring campaign does not begin can be read where its runs are."""
    op.add_column('schedule', sa.Column('fault', sa.Text(), nullable=True, comment='why the run that is due could not be started; NULL: it could'))


def _remember_calls() -> None:
    """Calls of the HTTP API, by what their callers named them."""
    op.create_table('api_call',
    sa.Column('caller', sa.Text(), nullable=False, comment='an entry of `api.keys` in clarion.yaml'),
    sa.Column('call_key', sa.LargeBinary(), nullable=False, comment='hash of the Idempotency-Key'),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False, comment='of what was asked for'),
    sa.Column('status', sa.SmallInteger(), nullable=False),
    sa.Column('answer', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('called_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('forget_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('caller', 'call_key', name=op.f('pk_api_call')),
    comment='calls of the HTTP API that are answered alike when they come again'
    )
    op.create_index('ix_api_call_forget_at', 'api_call', ['forget_at'], unique=False)


def _tell_when_activities_are_known() -> None:
    """Activities can be read in the order they become known: who adds some shares a lock before they are numbered."""
    op.execute("""
        CREATE FUNCTION activity_known() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared(hashtextextended('activity_known', 0));
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER activity_known BEFORE INSERT ON activity FOR EACH STATEMENT EXECUTE FUNCTION activity_known()
    """)
    op.execute("""
        COMMENT ON TRIGGER activity_known ON activity
        IS 'who adds activities holds off whoever would read past them (campaigns.sequences)'
    """)


def _leave_room_in_the_ledger() -> None:
    """Messages that change their state stay on their page; those of later audiences, that is."""
    op.execute("ALTER TABLE message SET (fillfactor = 50)")
