"""What can go wrong in training, in words that say what to do."""


class TrainingError(Exception):
    """Training cannot go on with this data; the message names the numbers and what to do."""
