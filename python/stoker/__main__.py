"""``python -m stoker``."""

from .cli import main

main()
