"""Who may have a concept, and receipts of removals."""

from alembic import op
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    String,
    false,
)

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """What was there before is for everybody."""
    op.add_column("concepts", Column("restricted", Boolean, nullable=False, server_default=false()))
    op.create_table(
        "viewers",
        Column("concept_id", Integer, nullable=False),
        Column("node_name", String(63), nullable=False),
        PrimaryKeyConstraint("concept_id", "node_name", name="pk_viewers"),
        ForeignKeyConstraint(["concept_id"], ["concepts.id"], name="fk_viewers_concept_id"),
    )
    op.create_table(
        "removals",
        Column("sha256", String(64), nullable=False),
        Column("remaining_sha256", String(64), nullable=False),
        Column("remaining", Integer, nullable=False),
        Column("largest_difference", Float, nullable=False),
        Column("at", DateTime, nullable=False),
        PrimaryKeyConstraint("sha256", "remaining_sha256", name="pk_removals"),
    )


def downgrade() -> None:
    """Everybody may have everything again."""
    op.drop_table("removals")
    op.drop_table("viewers")
    op.drop_column("concepts", "restricted")
