"""Two sides beside each other: what differs in their environment, and what it moved."""
