"""``python -m chaos.api``: ``chalice local``, with a clock that is wrong."""

from chalice.cli import main

from chaos.skewed_clock import skew_clock

if __name__ == "__main__":
    skew_clock()
    main()
