"""Sessions of browsers."""

from alembic import op
from sqlalchemy import Column, DateTime, ForeignKey, Integer, String

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Nobody was signed in before."""
    op.create_table(
        "sessions",
        Column("secret_sha256", String(64), primary_key=True),
        Column("node_id", Integer, ForeignKey("nodes.id"), nullable=False, index=True),
        Column("token_sha256", String(64), nullable=False),
        Column("expires", DateTime, nullable=False),
    )


def downgrade() -> None:
    """Everybody signs in again."""
    op.drop_table("sessions")
