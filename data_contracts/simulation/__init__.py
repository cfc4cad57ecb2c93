"""A seeded, believable pay-by-invoice portfolio that keeps the contracts."""
