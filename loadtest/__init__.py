"""Load on a cluster or another target: virtual users, the history of their requests, and the checker on it.

Locust and gevent patch the whole process. So only `users`, `concurrent_users` and `locustfile` import them, which run
in processes of their own: `generator` starts these, or a person with `locust -f loadtest/locustfile.py`.
"""
