"""Exact ranking of any number of scores in bounded memory: kept, dropped and borderline samples."""
