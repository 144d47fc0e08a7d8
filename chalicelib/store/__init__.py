"""Everything that touches S3. botocore is imported here only, and only once a store is made."""
