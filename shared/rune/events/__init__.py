"""What RUNE tells others of: every change of a job, a rental or a schedule, as an event with an id and a number."""
