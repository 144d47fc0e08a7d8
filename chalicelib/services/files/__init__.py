"""Files that are there: reading, editing, downloading, sharing, folders."""
