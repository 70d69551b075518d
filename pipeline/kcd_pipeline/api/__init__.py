"""The Python interface: each function does what the command of its name does, and returns an object to work with.

`kcd_pipeline` itself offers the functions. A recipe is given as a `Config`, a mapping of keys, the name of a shipped
recipe or the path of a YAML file; data set and models can be passed as objects, in the place of those that it names.
"""
