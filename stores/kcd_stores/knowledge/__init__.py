"""The knowledge store: opened and read, or created and written; what it is made of on disk."""
