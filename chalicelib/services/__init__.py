"""Use cases: plain functions that take a session, a principal and a command. They flush; whoever called commits."""

from sqlalchemy.orm import Session as Session
