"""Several workers: which of them are at work, and which partition is whose.

A database begins with one partition. SQLite stays with it; on PostgreSQL the first worker makes
as many as it was told.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.BigInteger()  # microseconds since 1970-01-01T00:00:00Z, by the database's clock


def upgrade() -> None:
    """Create both tables, and the one partition."""
    op.create_table(
        "workers",
        sa.Column("name", KEY, primary_key=True, nullable=False),
        sa.Column("host", KEY, nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
    )
    partitions = op.create_table(
        "partitions",
        sa.Column("partition", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("worker", KEY),
        sa.Column("since", INSTANT),
    )
    op.bulk_insert(partitions, [{"partition": 0, "epoch": 0}])


def downgrade() -> None:
    """There is no way back: the journal is history."""
    message = "a journal cannot be downgraded; restore a backup instead"
    raise NotImplementedError(message)
