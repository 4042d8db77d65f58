"""Alembic's environment: how the schema came to be what it is."""
