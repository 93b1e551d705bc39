"""The audit log, which can only be added to."""

from alembic import op
from sqlalchemy import Column, DateTime, Integer, PrimaryKeyConstraint, String, Text

revision = "0002"
down_revision = "0001"

SQLITE = """
CREATE TRIGGER audit_no_{change} BEFORE {change} ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log can only be added to'); END
"""
POSTGRESQL = """
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit log can only be added to'; END $$
"""


def upgrade() -> None:
    """Makes the table and guards it against slips; the hashes guard it against intent."""
    op.create_table(
        "audit",
        Column("position", Integer, nullable=False, autoincrement=False),
        Column("at", DateTime, nullable=False),
        Column("who", String(128), nullable=False),
        Column("address", String(64), nullable=False),
        Column("call", String(32), nullable=False),
        Column("action", String(32), nullable=False),
        Column("subject", String(512), nullable=False),
        Column("details", Text, nullable=False),
        Column("hash", String(64), nullable=False),
        PrimaryKeyConstraint("position", name="pk_audit"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(SQLITE.format(change=change))
    else:
        op.execute(POSTGRESQL)
        op.execute(
            "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "EXECUTE FUNCTION audit_is_append_only()"
        )


def downgrade() -> None:
    """Takes the log away."""
    op.drop_table("audit")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_is_append_only()")
