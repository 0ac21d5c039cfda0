"""What is fitted on training rows and travels with the model."""
