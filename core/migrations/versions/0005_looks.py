"""Who waits for a rule to come true is asked together, step by step: no passage is written for it."""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'


def upgrade() -> None:
    # Passages that wait come into it by themselves: each is looked at once more at the time it has.
    op.create_table('sequence_look',
    sa.Column('sequence', sa.Text(), nullable=False),
    sa.Column('step', sa.Text(), nullable=False),
    sa.Column('look_at', sa.DateTime(timezone=True), nullable=False, comment='when the rule that is waited for is asked next, of all who wait there'),
    sa.PrimaryKeyConstraint('sequence', 'step', name=op.f('pk_sequence_look')),
    comment='steps at which somebody waits for a rule to come true'
    )
