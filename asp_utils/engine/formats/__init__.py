"""How documents, keys and records are written as bytes and read again."""
