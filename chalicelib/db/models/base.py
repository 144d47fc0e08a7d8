"""What all tables have in common."""

from typing import Any, get_args

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    MetaData,
    Text,
)
from sqlalchemy.orm import DeclarativeBase

# S3 compares keys byte by byte, and so do ranks; the database's own collation would not, and would be slower.
Bytewise = Text(collation="C")
Moment = DateTime(timezone=True)


def one_of(column: str, literal: Any) -> CheckConstraint:
    """That a column holds one of the texts of a ``Literal``."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(name) for name in get_args(literal))})", name=column)


class Base(DeclarativeBase):
    """Names every constraint the same way, so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
