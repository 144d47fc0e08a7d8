"""What the clock or an operator starts."""
