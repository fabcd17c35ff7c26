"""What is generated: the device model and the schemas as packed tables."""
