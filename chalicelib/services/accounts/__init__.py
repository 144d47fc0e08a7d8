"""Who owns files: principals, users, sessions, and the policies for their files."""
