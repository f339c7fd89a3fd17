"""The steps of jobs. Each runs once per turn, says how it ended, and never sleeps or sends."""
