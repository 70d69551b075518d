"""Settings that hold for every test."""

import signal

from hypothesis import settings

# no deadline: on two cores that other work shares, the time of a single example means nothing
settings.register_profile("kcd", deadline=None, max_examples=60)
settings.load_profile("kcd")

# a program that a shell runs in the background ignores Ctrl-C, and so do its children; tests of Ctrl-C pass there too
signal.signal(signal.SIGINT, signal.default_int_handler)
