"""What a job does, step by step. A step runs once per turn and returns how it ended; it never sleeps or sends."""
