"""Read runs from their folders into checked records."""
