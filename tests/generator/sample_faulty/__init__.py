"""Operations that must be refused, all at once."""
