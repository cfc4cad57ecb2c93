"""Goods that a customer sends back: announced, confirmed, booked, or out of time."""
