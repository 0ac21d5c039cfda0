"""Going on after a stop: state of loaders and generators, signals, Slurm."""
