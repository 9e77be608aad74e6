"""`python -m flagrelease_assets.cli`."""

from flagrelease_assets.cli import main

main()
