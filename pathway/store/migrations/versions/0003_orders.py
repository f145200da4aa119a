"""Orders that the worker carries out; nothing in the database tells what an event says.

The journal's bare digest of an event's content goes: a questionnaire's is guessed by trying all
answers. Snapshots are sealed from now on: those there are dropped, and folded anew when needed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.BigInteger()  # microseconds since 1970-01-01T00:00:00Z
NO_ENGINE = 0  # a snapshot that no program trusts


def upgrade() -> None:
    """Create the table of orders, drop the digests, distrust every snapshot."""
    op.create_table(
        "orders",
        sa.Column("id", KEY, primary_key=True, nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("patient", KEY, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("given_at", INSTANT, nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("detail", KEY, nullable=False),
    )
    waiting = sa.text("state IN ('open', 'committed')")
    op.create_index(
        "orders_waiting",
        "orders",
        ["given_at", "id"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.drop_column("journal", "digest")
    patients = sa.table("patients", sa.column("engine"), sa.column("snapshot"))
    op.execute(patients.update().values(engine=NO_ENGINE, snapshot=sa.literal(b"")))


def downgrade() -> None:
    """There is no way back: what was dropped is gone."""
    message = "the journal's digests are gone; restore a backup instead"
    raise NotImplementedError(message)
