"""Records of microkernels: forms, formulas, and what the runtime's headers declare."""
