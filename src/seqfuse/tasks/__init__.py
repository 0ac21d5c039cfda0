"""Tasks: LightningModules that train a net."""
