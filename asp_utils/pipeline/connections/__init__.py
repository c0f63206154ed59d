"""What a connection says: the fields of each type, what goes together, what a pipeline may do."""
