"""Windows: assignment, what open ones hold, when they close."""
