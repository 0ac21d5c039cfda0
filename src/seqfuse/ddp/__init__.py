"""Several processes that train one model: each has a rank, and its share of every batch."""
