"""Sessions: numbered configs, run records, the audit chain, secrets."""
