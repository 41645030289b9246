"""Whether a model's file can be compiled, all that is in the way, and whether the C is right."""
