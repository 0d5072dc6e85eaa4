"""``python -m annx.cli``."""

from annx.cli import main

if __name__ == "__main__":
    main()
