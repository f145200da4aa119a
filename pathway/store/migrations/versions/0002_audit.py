"""The audit log: entries, the hashes of its Merkle tree, signed checkpoints, patients' keys.

A leaf's index is its entry's sequence, from 0. Leaf hashes are kept once more, apart from the
entries: a row a commit, so that an altered entry can be named. Of the nodes only the roots of
whole tiles are kept (levels 8, 16, …); see `pathway/audit/tree.py`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.BigInteger()  # microseconds since 1970-01-01T00:00:00Z


def upgrade() -> None:
    """Create the tables of the audit log; `log_head` remembers its tree."""
    op.create_table(
        "audit",
        sa.Column("sequence", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("commit", sa.BigInteger(), nullable=False),
        sa.Column("patient", KEY),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_index("audit_patient", "audit", ["patient"])
    op.create_table(
        "audit_leaves",
        sa.Column("start", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "audit_nodes",
        sa.Column("level", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("place", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
    )
    op.create_table(
        "patient_keys",
        sa.Column("patient", KEY, primary_key=True, nullable=False),
        # Empty once it was destroyed: an erased patient never gets another.
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    sqlite = op.get_context().dialect.name == "sqlite"
    empty = sa.text("x''" if sqlite else "''::bytea")
    for column in (
        sa.Column("tree_size", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("tree", sa.LargeBinary(), nullable=False, server_default=empty),
        sa.Column("erasures", sa.BigInteger(), nullable=False, server_default="0"),
    ):
        op.add_column("log_head", column)


def downgrade() -> None:
    """There is no way back: the log is history."""
    message = "an audit log cannot be downgraded; restore a backup instead"
    raise NotImplementedError(message)
