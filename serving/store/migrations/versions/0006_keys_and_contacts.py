"""API keys expire, are replaced with an overlap, and say when they were last used; a merchant that is reached
elsewhere is told so at its contact before.

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
    """Add what a key has of time, and contact changes; keys that there are work on until they are revoked."""
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
    op.create_table(
        "merchant_contact_changes",
        sa.Column("event_id", sa.Text(), nullable=False, comment="ledger row that changed it"),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "record", sa.Text(), nullable=False, comment="JSON: the account's contacts before and after"
        ),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index(
        "merchant_contact_changes_by_merchant", "merchant_contact_changes", ["merchant_id", "at_ms"]
    )
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(
            sa.Column(
                "sent_to",
                sa.Text(),
                nullable=True,
                comment="a contact that the merchant had before; null for the one it has",
            )
        )
        deliveries.alter_column(
            "stop_request_id",
            existing_type=sa.Text(),
            nullable=True,
            comment="null for a notice about the merchant's account itself",
        )
    _describe_roles(ROLES, ROLES_BEFORE)


def _describe_roles(comment: str, existing: str) -> None:
    # SQLite keeps no comments.
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("api_keys", "role", comment=comment, existing_comment=existing)


def downgrade() -> None:
    """Leave out what was added: every key works until it is revoked, and replaced ones end."""
    _describe_roles(ROLES_BEFORE, ROLES)
    op.execute("DELETE FROM deliveries WHERE stop_request_id IS NULL OR sent_to IS NOT NULL")
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column(
            "stop_request_id",
            existing_type=sa.Text(),
            nullable=False,
            existing_comment="null for a notice about the merchant's account itself",
            comment=None,
        )
        deliveries.drop_column("sent_to")
    op.drop_table("merchant_contact_changes")
    op.drop_table("replaced_api_keys")
    op.drop_column("api_keys", "last_used_at_ms")
    op.drop_column("api_keys", "expires_at_ms")
