"""Whether the catalogue is what the bucket holds."""
