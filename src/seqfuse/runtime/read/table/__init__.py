"""Tables: cells, time stamps, columns, and rows larger than the memory."""
