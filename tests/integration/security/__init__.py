"""The security and outage documents, held to the code."""
