"""Public data sets: fetched from where they are published, checked, and laid out for us."""
