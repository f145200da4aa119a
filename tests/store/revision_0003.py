"""What a worker of revision 0003 says to the database in a commit, word for word.

Written down when 0004 was made, so that the new schema is tried against the program before it.
A later revision replaces this file by its own forerunner's statements.
"""

POSTGRES = {
    "patients": """INSERT INTO patients ("patient", "policy", "state", "episode", "since",
        "next_due", "engine", "snapshot", "chains")
        SELECT "patient", "policy", "state", "episode", "since", "next_due", "engine", "snapshot",
        "chains" FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
        $6::bigint[], $7::bigint[], $8::bytea[], $9::bytea[]) WITH ORDINALITY AS given ("patient",
        "policy", "state", "episode", "since", "next_due", "engine", "snapshot", "chains", n)
        ON CONFLICT (patient) DO UPDATE SET "state" = excluded."state" """,
    "numbers": """UPDATE log_head SET "commit" = "commit" + 1, recorded_at = $1,
        journal = journal + $2, outbox = outbox + $3
        WHERE id = 1 AND epoch = $4 AND recorded_at <= $1
        RETURNING "commit", journal - $2, outbox - $3, tree_size, tree""",
    "journal": """INSERT INTO journal ("source", "id", "patient", "type", "identity", "revision",
        "time", "raw", "policy", "commit", "recorded_at", "seq")
        SELECT "source", "id", "patient", "type", "identity", "revision", "time", "raw", "policy",
        $10::bigint, $11::bigint, $12::bigint + n FROM unnest($1::text[], $2::text[], $3::text[],
        $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bytea[], $9::text[])
        WITH ORDINALITY AS given ("source", "id", "patient", "type", "identity", "revision",
        "time", "raw", "policy", n)""",
    "claim": "UPDATE log_head SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch",
}
SQLITE = {
    "patients": """INSERT INTO patients ("patient", "policy", "state", "episode", "since",
        "next_due", "engine", "snapshot", "chains") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (patient) DO UPDATE SET "state" = excluded."state" """,
    "head": """SELECT "commit", recorded_at, epoch, journal, outbox, tree_size, tree
        FROM log_head WHERE id = 1""",
    "move": """UPDATE log_head SET "commit" = ?, recorded_at = ?, journal = ?, outbox = ?,
        tree_size = ?, tree = ? WHERE id = 1""",
    "journal": """INSERT INTO journal ("source", "id", "patient", "type", "identity", "revision",
        "time", "raw", "policy", "commit", "recorded_at", seq)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
    "claim": "UPDATE log_head SET epoch = epoch + 1 WHERE id = 1",
}
PATIENT = ("p1", "d1", "iop", 1, None, None, 1, b"{}", b"[]")
EVENT = ("s", "e1", "p1", "t", "i", 0, 1, b"raw", "d1")
