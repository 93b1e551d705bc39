"""What Alembic runs for every migration; the connection comes from `store.migrating`."""

from alembic import context

from fedshow_server.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes tables by copying them
)
with context.begin_transaction():
    context.run_migrations()
