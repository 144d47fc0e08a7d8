"""The database authorities that Landfall trusts: all of them Amazon RDS's own roots, none expired."""

import re
import ssl
import time

from rds_certificates import BUNDLE

from chalicelib.db.tls import verifying_context

_NAME = re.compile(r"Amazon RDS [a-z0-9-]+ Root CA (RSA2048|RSA4096|ECC384) G1")


def test_each_certificate_is_a_root_of_amazon_rds() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(BUNDLE)

    roots = context.get_ca_certs()
    assert len(roots) == BUNDLE.read_text().count("BEGIN CERTIFICATE") > 75

    for root in roots:
        assert root["subject"] == root["issuer"]
        subject = {name: value for ((name, value),) in root["subject"]}
        assert subject["organizationName"] == "Amazon Web Services, Inc."
        assert _NAME.fullmatch(subject["commonName"])
        assert ssl.cert_time_to_seconds(root["notAfter"]) > time.time() + 365 * 86_400


def test_the_context_checks_name_and_certificate() -> None:
    context = verifying_context()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
