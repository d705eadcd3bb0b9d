"""Every change: check the permission, lock the rows, ask the rules, write state and event together."""
