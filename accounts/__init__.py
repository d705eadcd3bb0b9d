"""Who there is: users, organizations, members, plans, subscriptions, API keys; who may do what; and signing in.

It is also the shared lower floor of `consent`: column types, prepared SQL, rate limits, leases, the outbox for e-mail,
and the base of the commands. It imports nothing of `consent`.
"""
