"""From the command line and YAML to objects: composing, checking, building, checkpoints."""
