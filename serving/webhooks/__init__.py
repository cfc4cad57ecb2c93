"""Signed messages to merchants: signing, checked endpoints, delivery."""
