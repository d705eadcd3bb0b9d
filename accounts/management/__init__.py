"""The base of the portal's commands: conventions of the command line, and how a long command is stopped."""
