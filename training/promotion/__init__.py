"""Comparing a version with the champion, and putting it in its place."""
