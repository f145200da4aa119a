"""The database: journal, snapshots, ledger, outbox and parked events, in one commit."""
