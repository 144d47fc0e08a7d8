"""Removing files: one, many, and those in the trash."""
