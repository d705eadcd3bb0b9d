"""What people and organizations chose, and the answer to "may this data be used?".

Inside are the rules, the ledger, the services that change it, decisions, jobs and imports, what follows the ledger, and
the interfaces: API, console, admin site, commands.
"""
