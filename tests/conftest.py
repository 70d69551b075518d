"""Settings that hold for every test."""

import signal

from hypothesis import settings

# no deadline: two cores shared with whatever else runs make a single example's time mean nothing
settings.register_profile("kcd", deadline=None, max_examples=60)
settings.load_profile("kcd")

# a shell has what it runs in the background ignore Ctrl-C, children too; tests of Ctrl-C are to pass there as well
signal.signal(signal.SIGINT, signal.default_int_handler)
