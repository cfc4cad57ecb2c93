"""${message}"""

from alembic import op
import sqlalchemy as sa

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None

works_with_code_since = ...
"""Only adds (code of before goes on, and leaves new columns to their defaults): as the migration before.
Takes away or changes a meaning: the oldest code that does without; a release before this one."""


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
