"""What is refused at the door, so that no job is accepted which could only fail later."""
