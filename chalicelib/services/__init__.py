"""Use cases: plain functions. See `chalicelib.services.context` for what each of them takes first."""
