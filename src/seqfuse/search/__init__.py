"""Many runs of one command: how each ended, and what they say together."""
