"""What lies between station and CSMS: a network that can be cut, delayed and watched, and its names."""
