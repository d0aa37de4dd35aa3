"""``python -m blocklistd`` is the command ``blocklistd``."""

from blocklistd.cli import main

if __name__ == "__main__":
    main()
