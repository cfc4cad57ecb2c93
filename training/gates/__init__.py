"""What a model must show before it may be promoted."""
