"""What a merchant asked to be told of: the choice, and the notices."""
