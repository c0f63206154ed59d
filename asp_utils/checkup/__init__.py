"""What the toolkit needs, looked at one thing after the other, each with what to do about it."""
