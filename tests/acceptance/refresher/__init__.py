"""Refreshes on command, for the crash test; a package, so that parsing processes do not import it again."""
