"""A model's training step in this process: bit for bit the device's, and faster."""
