"""What clients send and receive, as pydantic models: separate ones to create, to replace, to patch and to read."""
