"""What things cost, by commands that write it into the docs."""
