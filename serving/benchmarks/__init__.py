"""How fast the service and the console are, as ratios within one run."""
