"""The kernel is compared with its twins only where it is built."""

from blocklistd import kernel

collect_ignore_glob = [] if kernel.COMPILED in kernel.CHOICES else ["test_same_*.py", "test_memory.py"]
