"""What runs without an HTTP request: queue messages, schedules, operations. Thin peers of `chalicelib.api`."""
