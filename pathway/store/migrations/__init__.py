"""The schema's history, one file a step; `pathway/store/migrate.py` runs it."""
