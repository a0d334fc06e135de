"""Any type of the installed peft."""
