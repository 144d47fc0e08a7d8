"""Root certificates of Amazon RDS."""

from pathlib import Path

BUNDLE = Path(__file__).with_name("roots.pem")
