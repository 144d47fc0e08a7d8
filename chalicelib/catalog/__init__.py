"""The pure meaning of object notifications: no framework, no I/O."""
