"""The compiler: what each pass does is in its head."""
