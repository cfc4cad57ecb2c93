"""API keys expire, are replaced by others with an overlap, and say when they were last used.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROLES_BEFORE = "checkout, merchant or fraud"
ROLES = "checkout, merchant, ledger, fraud or admin"


def upgrade() -> None:
    """Add what a key has of time; keys that there are work on until they are revoked."""
    op.add_column(
        "api_keys",
        sa.Column(
            "expires_at_ms",
            sa.BigInteger(),
            nullable=True,
            comment="null for a key that works until it is revoked",
        ),
    )
    op.add_column(
        "api_keys",
        sa.Column(
            "last_used_at_ms",
            sa.BigInteger(),
            nullable=True,
            comment="to the minute; null before its first use",
        ),
    )
    op.create_table(
        "replaced_api_keys",
        sa.Column(
            "key_sha256", sa.Text(), nullable=False, comment="of a secret that another took the place of"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="of the key, as in api_keys"),
        sa.Column("replaced_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger(), nullable=False, comment="until then it works as well"),
        sa.PrimaryKeyConstraint("key_sha256"),
    )
    op.create_index("replaced_api_keys_by_name", "replaced_api_keys", ["name"])
    _describe_roles(ROLES, ROLES_BEFORE)


def _describe_roles(comment: str, existing: str) -> None:
    # SQLite keeps no comments.
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("api_keys", "role", comment=comment, existing_comment=existing)


def downgrade() -> None:
    """Leave out what was added: every key works until it is revoked, and replaced ones end."""
    _describe_roles(ROLES_BEFORE, ROLES)
    op.drop_table("replaced_api_keys")
    op.drop_column("api_keys", "last_used_at_ms")
    op.drop_column("api_keys", "expires_at_ms")
