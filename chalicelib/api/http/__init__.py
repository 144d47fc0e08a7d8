"""What all routes share: `endpoint`, and everything between a request and a service call."""
