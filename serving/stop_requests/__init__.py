"""What is asked of a merchant, and what a merchant is told."""
