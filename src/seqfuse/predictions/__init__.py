"""What `seqfuse-predict` makes of a checkpoint and an input: rows for people, block by block."""
