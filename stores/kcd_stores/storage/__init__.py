"""Where a store lies: a folder, or a prefix in an object store, behind one small protocol."""
