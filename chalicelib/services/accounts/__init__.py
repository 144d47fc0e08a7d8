"""Who owns files, and who did what: principals, users, sessions, policies, and the trail."""
