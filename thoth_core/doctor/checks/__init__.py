"""One file a check, or a group that looks at the same thing."""
