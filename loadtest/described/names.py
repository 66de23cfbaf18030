"""Names of a target's members, as experiments know them: by role and number, node-1 for the first of `roles.node`."""

from collections.abc import Mapping

from deploy import Role


def name_members(by_role: Mapping[Role, list[str]]) -> dict[str, str]:
    """Return the name of each member, and its own: nodes and Sentinels have numbers, others where there are several."""
    named: dict[str, str] = {}
    for role in Role:
        own = by_role.get(role, [])
        numbered = len(own) > 1 or role in {Role.NODE, Role.SENTINEL}
        for number, name in enumerate(own, 1):
            named[f"{role}-{number}" if numbered else str(role)] = name
    return named


def role_of(name: str) -> Role:
    """Return the role of a member with this name."""
    return Role(name.partition("-")[0])
