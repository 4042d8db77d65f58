"""What was used and what is owed: every reservation, job and counter, durable before upstream is called."""
