"""An invoice's life: what a customer is told of it, and how it is shown."""
