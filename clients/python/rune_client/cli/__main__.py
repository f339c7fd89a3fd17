"""`python -m rune_client.cli`."""

import sys

from rune_client.cli import main

sys.exit(main())
