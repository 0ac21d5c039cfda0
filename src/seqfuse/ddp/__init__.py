"""Several processes that train one model: each has a rank, and its part of every batch."""
