"""Estimators after scikit-learn's conventions, over the runs and jobs of the commands."""
