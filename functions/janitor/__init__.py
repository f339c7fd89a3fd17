"""Makes good what was lost: once a minute."""
