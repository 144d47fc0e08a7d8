"""HTTP: one module of routes for each resource, and the machinery they share. Meaning lives in the services."""
