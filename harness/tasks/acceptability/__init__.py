"""The embedded task: minimal pairs of English sentences from a seeded grammar."""
