"""Models of checkpoints that predict, in plain torch."""
