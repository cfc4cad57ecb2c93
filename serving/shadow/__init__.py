"""A challenger that answers for live traffic with no effect, and what its answers come to."""
