"""RUNE: runs LLM jobs on model servers and rented GPUs, and reports answers with numbers."""
