"""The fraud team's console: pages rendered on the server."""
