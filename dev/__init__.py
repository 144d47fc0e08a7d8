"""The local stack: PostgreSQL, an AWS emulator, event delivery and the API, on one machine and nothing else.

It is never packaged, and nothing in the application imports it. This file has no code, so that any Python can parse it.
"""
