"""Free ports of this machine, several at once."""

from dev.ports import free_port


def free_ports(count: int) -> list[int]:
    """So many different ports nobody listens on just now. Asked for one after the other, two could be the same."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)
