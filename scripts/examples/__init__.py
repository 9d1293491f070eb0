"""Examples to copy from: whole programs that tune a model of some library."""
