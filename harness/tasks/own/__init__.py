"""A user's own data as a task, from what a suite says of it."""
