"""The look at an approved order that may open a case."""
