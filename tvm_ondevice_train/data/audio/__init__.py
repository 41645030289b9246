"""Sound as features: one front end for host and device."""
