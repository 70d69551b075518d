"""Settings that hold for every test."""

from hypothesis import settings

# no deadline: two cores shared with whatever else runs make a single example's time mean nothing
settings.register_profile("kcd", deadline=None, max_examples=60)
settings.load_profile("kcd")
