"""What a checkpoint predicts with, in plain torch."""
