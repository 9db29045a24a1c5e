"""The table task on top of the latent swarm: heads, label scoring, calibration, column types."""
