"""A case of the fraud team: review, dossier, linked orders, timeline, investigation, settlement."""
