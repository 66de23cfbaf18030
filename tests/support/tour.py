"""The guided tour on the console's page: its stops, and its buttons."""

from playwright.sync_api import Page

STOPS = (
    ("One process", ()),
    ("Two processes", ()),
    ("Three nodes", ()),
    ("Pinned to a node", ("kill node-2",)),
    ("A shared store", ("kill node-2",)),
    ("Scaling under load", ("scale to 5 nodes", "scale to 3 nodes")),
    ("Failover with Sentinels", ("kill primary",)),
    ("Failover in a Redis Cluster", ("kill primary",)),
)
"""Title and commands of each stop."""


def press(page: Page, name: str) -> None:
    page.locator(".tour").get_by_role("button", name=name, exact=True).click()
