"""Data sets that are folders of pictures, decoded into memory or on the fly."""
