"""What goes wrong with a cluster."""


class ClusterError(Exception):
    """The cluster cannot be had, or not be changed like that. One line: what is wrong, with which value, what to do."""
