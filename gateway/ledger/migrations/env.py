"""What Alembic runs: the migrations, on the connection and in the transaction `gateway.ledger.migrate` gives it."""

from alembic import context

from gateway.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
