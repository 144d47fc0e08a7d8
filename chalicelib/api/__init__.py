"""The HTTP way in: routes, the schemas of what they take and answer, and what all of them share."""
