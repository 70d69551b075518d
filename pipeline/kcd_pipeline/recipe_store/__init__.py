"""The store that a recipe asks for: its origin, its encoding, and opening or making it."""
