"""The training of teachers and students: device, ranks, one epoch, a whole run of epochs, checkpoints.

Import from the modules: `session` loads TensorBoard and `device` accelerate, which not every command needs.
"""
