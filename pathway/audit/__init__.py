"""The audit log: canonical bytes, Merkle tree, checkpoints, sealing, offline verification.

Pure: no store, no broker, no clock. The flow makes entries, the store keeps them, the auditor
checks them without either.
"""
