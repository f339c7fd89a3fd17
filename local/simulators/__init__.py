"""Stand-ins for the services that RUNE uses, checked with their official clients."""
