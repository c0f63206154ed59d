"""Sources, one module per system."""
