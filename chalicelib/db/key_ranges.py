"""Keys with a common beginning, as a range."""

_LAST, _LONGEST_KEY = chr(0x10FFFF), 1024  # bytes; the last character has four


def end_of(prefix: str) -> str:
    """What follows all keys that start with ``prefix``, byte by byte, which is the order of code points in UTF-8.

    Example:
        >>> end_of("photos/")
        'photos0'
    """
    start = prefix.rstrip(_LAST)
    if not start:
        return _LAST * (_LONGEST_KEY // 4 + 1)
    following = ord(start[-1]) + 1
    return start[:-1] + chr(0xE000 if following == 0xD800 else following)  # between these are no characters
