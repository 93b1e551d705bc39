"""The database's tables; every change here comes with a migration."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """A point in time, always UTC: SQLite would forget the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> datetime | None:
        """UTC on the way in."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Any) -> datetime | None:
        """UTC on the way out."""
        return None if value is None else value.replace(tzinfo=UTC)


invites = Table(
    "invites",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("node_name", String(63), nullable=False),
    Column("role", String(16), nullable=False, server_default="contributor"),
    Column("expires", Moment, nullable=False),
    Column("used", Moment),  # the moment its node joined
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(63), nullable=False, index=True),
    Column("role", String(16), nullable=False, server_default="contributor"),
    Column("flower_id", String(20), unique=True),  # unsigned 64 bit: no integer; not of downloaders
    Column("public_key", Text, nullable=False),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("joined", Moment, nullable=False),
    Column("revoked", Moment),
)

concepts = Table(
    "concepts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("node_id", ForeignKey("nodes.id"), nullable=False, index=True),
    Column("name", String(32), nullable=False, index=True),
    Column("class_word", String(31), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(10), nullable=False, index=True),
    Column("reason", Text, nullable=False, default=""),
    Column(
        "approved", Boolean, nullable=False, server_default=false()
    ),  # odd, but by the owner's word
    Column("restricted", Boolean, nullable=False, server_default=false()),  # see `viewers`
    Column("rank", Integer),  # as its file says; unknown before there is one
    Column("created", Moment, nullable=False),
)

viewers = Table(
    "viewers",  # who may have a restricted concept, beside the node that brought it
    metadata,
    Column("concept_id", ForeignKey("concepts.id"), primary_key=True),
    Column("node_name", String(63), primary_key=True),
)

removals = Table(
    "removals",  # receipts: what a fusion took out of what was recorded
    metadata,
    Column("sha256", String(64), primary_key=True),  # of the concept file
    Column("remaining_sha256", String(64), primary_key=True),
    Column("remaining", Integer, nullable=False),
    Column("largest_difference", Float, nullable=False),
    Column("at", Moment, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("sequence", Integer, nullable=False, unique=True),  # the highest is `latest`
    Column("created", Moment, nullable=False),
    Column("base_sha256", String(64), nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
)

release_concepts = Table(
    "release_concepts",
    metadata,
    Column("release_id", ForeignKey("releases.id"), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("sha256", String(64), nullable=False, index=True),
)

release_files = Table(
    "release_files",
    metadata,
    Column("release_id", ForeignKey("releases.id"), primary_key=True),
    Column("path", String(512), primary_key=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("who", String(128), nullable=False),
    Column("address", String(64), nullable=False),
    Column("call", String(32), nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", String(512), nullable=False),
    Column("details", Text, nullable=False),  # JSON
    Column("hash", String(64), nullable=False),
)

drawings = Table(
    "drawings",
    metadata,
    Column("number", Integer, primary_key=True),  # the lowest is drawn first
    Column("id", String(16), nullable=False, unique=True),
    Column("node_id", ForeignKey("nodes.id"), nullable=False, index=True),
    Column("release_id", ForeignKey("releases.id"), nullable=False),
    Column("recipe", Text, nullable=False),  # JSON
    Column("pictures", Integer, nullable=False),
    Column("state", String(10), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),  # how often a worker began with it
    Column("done_steps", Integer, nullable=False),
    Column("all_steps", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    Column("ended", Moment),
)

sessions = Table(
    "sessions",  # of browsers
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("node_id", ForeignKey("nodes.id"), nullable=False, index=True),
    Column(
        "token_sha256", String(64), nullable=False
    ),  # the node's when it began: both end together
    Column("expires", Moment, nullable=False),
)

samples = Table(
    "samples",  # pictures drawn here with a concept's adapter; small, and gone when the concept is
    metadata,
    Column("concept_id", ForeignKey("concepts.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("prompt", Text, nullable=False),
    Column("scale", Float, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),  # of the content
    Column("content", LargeBinary, nullable=False),  # WebP
)

sampled = Table(
    "sampled",  # how far the samples of a concept are, and what they measure
    metadata,
    Column("concept_id", ForeignKey("concepts.id"), primary_key=True),
    Column("attempts", Integer, nullable=False),  # since the last picture
    Column("done", Boolean, nullable=False),
    Column("scorer", String(128)),
    Column("identity", Float),
    Column("likeness", LargeBinary),  # what the scorer makes of other samples: float32
)

fused_identities = Table(
    "fused_identities",  # the same measured in a release
    metadata,
    Column("release_id", ForeignKey("releases.id"), primary_key=True),
    Column("concept_id", ForeignKey("concepts.id"), primary_key=True, index=True),
    Column("scorer", String(128), nullable=False),
    Column("identity", Float, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("flower_id", String(20), primary_key=True),
    Column("beat_seconds", Float, nullable=False),  # Unix time of the run's last sign of life
    Column("ended", Moment),
)
