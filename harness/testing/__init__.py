"""Memory budgets in the tests of any project: the plug-in for pytest."""
