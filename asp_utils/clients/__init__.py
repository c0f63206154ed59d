"""One module per system or package that is talked to."""
