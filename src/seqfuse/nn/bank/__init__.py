"""A bank of fixed convolutions, read by a ridge regression in closed form."""
