"""The local stack: PostgreSQL, an AWS emulator, event delivery and the API, on one machine and nothing else.

Never packaged; nothing in the application imports it. No code here, so that any Python can at least parse it.
"""
