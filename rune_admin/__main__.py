"""`python -m rune_admin`."""

from rune_admin.commands import main

main()
