"""Load on a cluster or another target: virtual users, the history of what they did, and what the checker proves by it.

Only `users`, `concurrent_users` and `locustfile` import Locust and gevent, which patch the whole process: they run in
processes of their own, which `generator` starts, or a person with `locust -f loadtest/locustfile.py`.
"""
