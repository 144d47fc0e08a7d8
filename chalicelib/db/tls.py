"""Whom a connection to the database trusts. pg8000 checks no certificate unless it is given a context that does."""

import ssl

from rds_certificates import BUNDLE


def verifying_context() -> ssl.SSLContext:
    """Checks the server's certificate and name against the system's authorities and Amazon RDS's own.

    RDS and Aurora sign with authorities of their own, which no system knows; RDS Proxy and most other hosts with public
    ones.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(BUNDLE)
    return context
