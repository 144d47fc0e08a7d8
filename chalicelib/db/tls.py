"""Whom a connection to the database trusts. pg8000 checks no certificate unless it is given a context that does."""

import ssl

from rds_certificates import BUNDLE


def verifying_context() -> ssl.SSLContext:
    """A context that checks the server's certificate and name against the system's authorities and Amazon RDS's own.

    The certificates of RDS and Aurora are signed by authorities of their own, which no system knows. RDS Proxy and most
    other hosts use public authorities.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(BUNDLE)
    return context
