"""How sure a figure is, and how it is shown; the ground that training and serving share."""
