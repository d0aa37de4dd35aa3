"""The catalogue: one feed, its schedule, the file, and the file that is shipped."""
