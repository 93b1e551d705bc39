"""Drawings that members asked for."""

from alembic import op
from sqlalchemy import Column, DateTime, ForeignKey, Integer, String, Text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nobody asked before."""
    op.create_table(
        "drawings",
        Column("number", Integer, primary_key=True),
        Column("id", String(16), nullable=False, unique=True),
        Column("node_id", Integer, ForeignKey("nodes.id"), nullable=False, index=True),
        Column("release_id", String(16), ForeignKey("releases.id"), nullable=False),
        Column("recipe", Text, nullable=False),
        Column("pictures", Integer, nullable=False),
        Column("state", String(10), nullable=False, index=True),
        Column("reason", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("done_steps", Integer, nullable=False),
        Column("all_steps", Integer, nullable=False),
        Column("created", DateTime, nullable=False),
        Column("ended", DateTime),
    )


def downgrade() -> None:
    """Pictures stay in the data folder until somebody deletes them."""
    op.drop_table("drawings")
