"""How the worker is doing: numbers for Prometheus, probes, and traces. Never a patient's key."""
