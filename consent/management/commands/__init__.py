"""The commands of `manage.py`: each one translates its options into calls of services, jobs or imports."""
