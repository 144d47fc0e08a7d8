"""From notifications to rows: recording, inspecting, indexing."""
