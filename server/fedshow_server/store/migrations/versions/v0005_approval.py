"""Concepts that the owner let in although something is odd about them."""

from alembic import op
from sqlalchemy import Boolean, Column, false

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Nobody was asked before."""
    op.add_column("concepts", Column("approved", Boolean, nullable=False, server_default=false()))


def downgrade() -> None:
    """Those that wait for the owner are refused: nobody could let them in."""
    op.execute("UPDATE concepts SET state = 'refused' WHERE state = 'pending'")
    op.drop_column("concepts", "approved")
