"""What a first run shows: sample orders and a sample merchant that answers."""
