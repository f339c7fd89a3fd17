"""The whole of RUNE on a laptop: emulator, simulators, demo."""
