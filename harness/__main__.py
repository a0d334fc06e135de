"""`python -m harness`: the same as `headroom`."""

from harness.main import app

app(prog_name="headroom")
