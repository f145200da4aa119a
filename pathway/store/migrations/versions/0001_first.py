"""The first schema.

Positions and numbers are given by the program from `log_head`, never by a database sequence:
a rolled back sequence leaves gaps, and a reader must be able to prove that it missed nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Python compares text by code point. SQLite's BINARY does too; PostgreSQL only under "C".
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# Only INTEGER PRIMARY KEY is SQLite's own row id; a BIGINT would cost a second index.
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.BigInteger()  # microseconds since 1970-01-01T00:00:00Z


def upgrade() -> None:
    """Create every table."""
    _journal()
    _patients()
    _ledger()
    _outbox()
    _parked_and_policies()
    _log_head()


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("commit", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("source", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("patient", KEY, nullable=False),
        sa.Column("type", KEY, nullable=False),
        sa.Column("identity", KEY, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("time", INSTANT, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("policy", KEY, nullable=False),
    )
    op.create_index("journal_source_id", "journal", ["source", "id"], unique=True)
    op.create_index("journal_patient_identity", "journal", ["patient", "identity"])


def _patients() -> None:
    op.create_table(
        "patients",
        sa.Column("patient", KEY, primary_key=True, nullable=False),
        sa.Column("policy", KEY, nullable=False),
        sa.Column("state", KEY),
        sa.Column("episode", sa.BigInteger(), nullable=False),
        sa.Column("since", INSTANT),
        sa.Column("next_due", INSTANT),
        sa.Column("engine", sa.BigInteger(), nullable=False),
        sa.Column("snapshot", sa.LargeBinary(), nullable=False),
        sa.Column("chains", sa.LargeBinary(), nullable=False),
    )
    armed = sa.text("next_due IS NOT NULL")
    op.create_index(
        "patients_next_due",
        "patients",
        ["next_due", "patient"],
        sqlite_where=armed,
        postgresql_where=armed,
    )


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("patient", KEY, primary_key=True, nullable=False),
        sa.Column("key", KEY, primary_key=True, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("status", KEY, nullable=False),
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("said", sa.LargeBinary(), nullable=False),
        sa.Column("ended", sa.LargeBinary(), nullable=False),
        sa.Column("effective_at", INSTANT, nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("note", KEY, nullable=False),
        # Small rows, always found by their key: one tree instead of two.
        sqlite_with_rowid=False,
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("position", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("patient", KEY, nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("subject", KEY, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("published", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    op.create_index("outbox_id", "outbox", ["id"], unique=True)
    op.create_index("outbox_patient", "outbox", ["patient"])
    waiting = sa.text("published = 0")
    op.create_index(
        "outbox_unpublished",
        "outbox",
        ["position"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def _parked_and_policies() -> None:
    op.create_table(
        "parked",
        sa.Column("stream_sequence", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("subject", KEY, nullable=False),
        sa.Column("reason", KEY, nullable=False),
        sa.Column("detail", KEY, nullable=False),
        sa.Column("source", KEY),
        sa.Column("id", KEY),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("digest", KEY, primary_key=True, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("text", KEY, nullable=False),
    )


def _log_head() -> None:
    head = op.create_table(
        "log_head",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("commit", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("journal", sa.BigInteger(), nullable=False),  # entries ever written
        sa.Column("outbox", sa.BigInteger(), nullable=False),  # messages ever written
        sa.CheckConstraint("id = 1", name="log_head_single"),
    )
    op.bulk_insert(
        head,
        [{"id": 1, "commit": 0, "recorded_at": 0, "epoch": 0, "journal": 0, "outbox": 0}],
    )


def downgrade() -> None:
    """There is no way back: the journal is history."""
    message = "a journal cannot be downgraded; restore a backup instead"
    raise NotImplementedError(message)
