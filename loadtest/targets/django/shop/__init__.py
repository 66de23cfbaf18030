"""A Django project: its users log in with django.contrib.auth, their visits and cart are in the session."""
