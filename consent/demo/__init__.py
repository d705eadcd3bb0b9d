"""The data of `manage.py demo`: a fixed scenario, and a background of many organizations."""
