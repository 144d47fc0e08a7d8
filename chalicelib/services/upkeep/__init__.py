"""What the clock, or an operator, has done."""
