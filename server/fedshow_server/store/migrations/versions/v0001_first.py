"""Members, concepts, releases, runs."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the first tables."""
    _make_members()
    _make_concepts()
    _make_releases()
    op.create_table(
        "runs",
        Column("flower_id", String(20), nullable=False),
        Column("beat_seconds", Float, nullable=False),
        Column("ended", DateTime),
        PrimaryKeyConstraint("flower_id", name="pk_runs"),
    )


def _make_members() -> None:
    op.create_table(
        "invites",
        Column("secret_sha256", String(64), nullable=False),
        Column("node_name", String(63), nullable=False),
        Column("expires", DateTime, nullable=False),
        Column("used", DateTime),
        PrimaryKeyConstraint("secret_sha256", name="pk_invites"),
    )
    op.create_table(
        "nodes",
        Column("id", Integer, nullable=False),
        Column("name", String(63), nullable=False),
        Column("flower_id", String(20), nullable=False),
        Column("public_key", Text, nullable=False),
        Column("token_sha256", String(64), nullable=False),
        Column("joined", DateTime, nullable=False),
        Column("revoked", DateTime),
        PrimaryKeyConstraint("id", name="pk_nodes"),
        UniqueConstraint("flower_id", name="uq_nodes_flower_id"),
        UniqueConstraint("token_sha256", name="uq_nodes_token_sha256"),
    )
    op.create_index("ix_nodes_name", "nodes", ["name"])


def _make_concepts() -> None:
    op.create_table(
        "concepts",
        Column("id", Integer, nullable=False),
        Column("node_id", Integer, nullable=False),
        Column("name", String(32), nullable=False),
        Column("class_word", String(31), nullable=False),
        Column("sha256", String(64), nullable=False),
        Column("size_bytes", BigInteger, nullable=False),
        Column("state", String(10), nullable=False),
        Column("reason", Text, nullable=False),
        Column("created", DateTime, nullable=False),
        PrimaryKeyConstraint("id", name="pk_concepts"),
        ForeignKeyConstraint(["node_id"], ["nodes.id"], name="fk_concepts_node_id"),
        UniqueConstraint("sha256", name="uq_concepts_sha256"),
    )
    for column in ("node_id", "name", "state"):
        op.create_index(f"ix_concepts_{column}", "concepts", [column])


def _make_releases() -> None:
    op.create_table(
        "releases",
        Column("id", String(16), nullable=False),
        Column("sequence", Integer, nullable=False),
        Column("created", DateTime, nullable=False),
        Column("base_sha256", String(64), nullable=False),
        Column("manifest_sha256", String(64), nullable=False),
        PrimaryKeyConstraint("id", name="pk_releases"),
        UniqueConstraint("sequence", name="uq_releases_sequence"),
    )
    op.create_table(
        "release_concepts",
        Column("release_id", String(16), nullable=False),
        Column("name", String(32), nullable=False),
        Column("sha256", String(64), nullable=False),
        PrimaryKeyConstraint("release_id", "name", name="pk_release_concepts"),
        ForeignKeyConstraint(
            ["release_id"], ["releases.id"], name="fk_release_concepts_release_id"
        ),
    )
    op.create_table(
        "release_files",
        Column("release_id", String(16), nullable=False),
        Column("path", String(512), nullable=False),
        Column("sha256", String(64), nullable=False),
        Column("size_bytes", BigInteger, nullable=False),
        PrimaryKeyConstraint("release_id", "path", name="pk_release_files"),
        ForeignKeyConstraint(["release_id"], ["releases.id"], name="fk_release_files_release_id"),
    )
    op.create_index("ix_release_files_sha256", "release_files", ["sha256"])
