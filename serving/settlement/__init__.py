"""What merchants see of their settlement: a note for each merchant and period, as an answer and as CSV."""
