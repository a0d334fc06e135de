"""What people read: terminal, Markdown, CSV; made from records only."""
