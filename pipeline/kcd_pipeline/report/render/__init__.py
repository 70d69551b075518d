"""Show a comparison: tables on the terminal, or one HTML page."""
