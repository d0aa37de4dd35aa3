"""Differential fuzzing of the compiled kernel; see ``fuzz/__main__.py``."""
