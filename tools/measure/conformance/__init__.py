"""The certification scripts: which there are (`catalogue`), and the products they are run for (`presets`)."""
