"""What Alembic reads: its environment and the template of a migration."""
