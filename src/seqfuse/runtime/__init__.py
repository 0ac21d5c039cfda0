"""What needs only numpy and the standard library."""
