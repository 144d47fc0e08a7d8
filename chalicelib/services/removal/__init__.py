"""Files that go: deletion, deletion of many, the trash."""
