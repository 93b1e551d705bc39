"""Pictures drawn with each concept's adapter, and what they measure before and after fusion."""

from alembic import op
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
)

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """The server draws what is missing."""
    op.add_column("concepts", Column("rank", Integer))
    op.create_index("ix_release_concepts_sha256", "release_concepts", ["sha256"])
    op.create_table(
        "samples",
        Column("concept_id", Integer, nullable=False),
        Column("number", Integer, nullable=False, autoincrement=False),
        Column("prompt", Text, nullable=False),
        Column("scale", Float, nullable=False),
        Column("seed", Integer, nullable=False),
        Column("steps", Integer, nullable=False),
        Column("width", Integer, nullable=False),
        Column("height", Integer, nullable=False),
        Column("sha256", String(64), nullable=False),
        Column("content", LargeBinary, nullable=False),
        PrimaryKeyConstraint("concept_id", "number", name="pk_samples"),
        ForeignKeyConstraint(["concept_id"], ["concepts.id"], name="fk_samples_concept_id"),
    )
    op.create_table(
        "sampled",
        Column("concept_id", Integer, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("done", Boolean, nullable=False),
        Column("scorer", String(128)),
        Column("identity", Float),
        Column("likeness", LargeBinary),
        PrimaryKeyConstraint("concept_id", name="pk_sampled"),
        ForeignKeyConstraint(["concept_id"], ["concepts.id"], name="fk_sampled_concept_id"),
    )
    _create_fused_identities()


def _create_fused_identities() -> None:
    op.create_table(
        "fused_identities",
        Column("release_id", String(16), nullable=False),
        Column("concept_id", Integer, nullable=False),
        Column("scorer", String(128), nullable=False),
        Column("identity", Float, nullable=False),
        PrimaryKeyConstraint("release_id", "concept_id", name="pk_fused_identities"),
        ForeignKeyConstraint(
            ["release_id"], ["releases.id"], name="fk_fused_identities_release_id"
        ),
        ForeignKeyConstraint(
            ["concept_id"], ["concepts.id"], name="fk_fused_identities_concept_id"
        ),
    )
    op.create_index("ix_fused_identities_concept_id", "fused_identities", ["concept_id"])


def downgrade() -> None:
    """Nobody sees anything any more."""
    for table in ("fused_identities", "sampled", "samples"):
        op.drop_table(table)
    op.drop_index("ix_release_concepts_sha256", "release_concepts")
    op.drop_column("concepts", "rank")
