"""What takes longer than a request: the queue, and one module for each kind of job."""
