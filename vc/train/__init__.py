"""Training: one loop, one file a family of methods, one way to save and resume."""
