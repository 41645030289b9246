"""A training run, whatever computes its steps: a device at a line, or a simulation."""
