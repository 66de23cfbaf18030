"""A Flask application with Flask-Session that answers what a node of the cluster answers, as JSON."""
