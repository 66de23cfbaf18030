"""One stateless application node."""
