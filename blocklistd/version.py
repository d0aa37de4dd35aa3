"""The version, alone in its module so that packaging can read it without importing anything else."""

from typing import Final

VERSION: Final = "0.1.0"
