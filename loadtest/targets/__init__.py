"""Reference implementations: applications with other session libraries and the HTTP interface of the Flask nodes.

Each is written as the documentation of its library has it, with that library's defaults. They compare passwords in
plain text, where the Flask nodes compute an Argon2 hash: compare what requests cost, not logins.
"""
