"""Exact ranking of any number of scores in bounded memory: which samples are kept, dropped, and next to the cut."""
