"""What a node may do; those that hand nothing over are unknown to Flower."""

from alembic import op
from sqlalchemy import Column, String

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Whoever was there brought concepts, and so may whoever was invited."""
    op.add_column("invites", _role())
    with op.batch_alter_table("nodes") as nodes:
        nodes.add_column(_role())
        nodes.alter_column("flower_id", existing_type=String(20), nullable=True)


def _role() -> Column[str]:
    return Column("role", String(16), nullable=False, server_default="contributor")


def downgrade() -> None:
    """Nodes that Flower does not know cannot be told to an earlier fedshow."""
    op.execute("DELETE FROM nodes WHERE flower_id IS NULL")
    with op.batch_alter_table("nodes") as nodes:
        nodes.alter_column("flower_id", existing_type=String(20), nullable=False)
        nodes.drop_column("role")
    op.drop_column("invites", "role")
