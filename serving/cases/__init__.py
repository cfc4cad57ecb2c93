"""A case of the fraud team: review, dossier, investigation, settlement."""
