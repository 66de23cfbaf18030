"""The command line `session-cluster`, assembled from each folder's cli.py."""

try:
    import re
    import tomllib
    from collections.abc import Iterable
    from importlib import metadata
    from itertools import pairwise
    from pathlib import Path
    from typing import Any

    import click

    from deploy.cli import Additions, kill, up
    from deploy.swarm.cli import swarm
    from loadtest.bench.cli import bench
    from loadtest.cli.capacity import capacity
    from loadtest.cli.console import console, serve_page
    from loadtest.cli.demo import demo
    from loadtest.cli.failover import failover, report
    from loadtest.cli.load import load
    from loadtest.cli.target import target
    from loadtest.targets.reference import make_application
    from proxy.cli import proxy_config
except KeyboardInterrupt:  # the imports take most of a second
    raise SystemExit(130) from None


def version() -> str:
    """Return the version in the checkout's pyproject.toml, or else the installed one."""
    path = Path(__file__).parent / "pyproject.toml"
    project: dict[str, Any] = tomllib.loads(path.read_text())["project"] if path.is_file() else {}
    return str(project["version"]) if project.get("name") == "session-cluster" else metadata.version("session-cluster")


class _HelpFormatter(click.HelpFormatter):
    """Click's formatter, without line breaks in names such as redis-ha, `code`, [default: 3] and 10 %, or before the
    last word of a paragraph: it shows their hyphens and spaces to Click as letters. Ranges are in words."""

    _HYPHEN, _SPACE = "\ue000", "\ue001"
    _WHOLE = re.compile(r"`[^`]+`|\[[^]]+\]|\d\s%|\s\S*[^]\s](?=\n\n|\Z)")

    def write_text(self, text: str) -> None:
        super().write_text(self._join(text, self.width - self.current_indent))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        rows = [
            (name, re.sub(r"([\d.]+)<=x<=([\d.]+)", r"\1 to \2", text.replace("]  [", "; "))) for name, text in rows
        ]
        room = self.width - min(max(len(name) for name, _ in rows), col_max) - col_spacing - 2
        super().write_dl([(name, self._join(text, room)) for name, text in rows], col_max, col_spacing)

    def write(self, string: str) -> None:
        super().write(string.replace(self._HYPHEN, "-").replace(self._SPACE, " "))

    def _join(self, text: str, room: int) -> str:
        """Return the text as Click may break it: of what is longer than a line the first space alone is kept."""

        def join(found: re.Match[str]) -> str:
            return re.sub(r"\s+", self._SPACE, found[0], count=0 if len(found[0]) <= room else 1)

        return self._WHOLE.sub(join, text.replace("-", self._HYPHEN))


click.Context.formatter_class = _HelpFormatter  # of all commands: each makes a context of its own


class _Commands(click.Group):
    """Commands that Ctrl-C ends with 130, also before they listen for signals themselves.

    None takes an empty text, as an unset variable of a shell gives it: it would count as an option that was left out.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for before, argument in pairwise(["", *args]):
            if argument == "" or (argument.startswith("--") and argument.endswith("=")):
                name = argument.rstrip("=") or (before if before.startswith("-") else "an argument")
                raise click.UsageError(f"{name} is empty: leave it out, or give it a value.", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(130) from None


@click.group(
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "obj": Additions(make_application, serve_page),
    },
    epilog="""\b
Examples:
  session-cluster demo                        all six scenes, about 75 s
  session-cluster demo --scene redis-kill     one of them
  session-cluster console                     a page to watch and to break it
  session-cluster failover run kill-node      one experiment, under load
  session-cluster failover run --all          all, more than half an hour
  session-cluster failover random             faults drawn at random, 60 s
  session-cluster report results/NAME         a page with all results there
  session-cluster up                          3 nodes that share a store
  session-cluster up --store memory --balance sticky
  session-cluster kill node-2                 kill a node of the one that runs
  session-cluster up --state ./state          with cluster.json for scripts
  session-cluster up --node express           nodes that run express-session
  session-cluster up --app shop:app           the nodes serve your application
  session-cluster swarm up --image shop:1     the cluster on several machines
  session-cluster load --users 50             load, and what its users lost
  session-cluster load --target URL --users-file state/cluster.json
  session-cluster target init compose.yaml -o shop.toml
  session-cluster target check shop.toml      each of its requests, once
  session-cluster target compare shop.toml    your application beside this
  session-cluster load --matrix               stores x balancing x nodes
  session-cluster bench                       what a session costs, 12 min
  session-cluster capacity --sessions 1M --active 50k --rate 0.03
  session-cluster proxy-config --balance hash    only an nginx.conf

\b
Locust itself, with its web page, on a cluster that runs:
  export CLUSTER_USERS_FILE=./state/cluster.json
  locust -f loadtest/locustfile.py --host http://127.0.0.1:8080

\b
Environment:
  CLUSTER_USERS_FILE   for load, locust: JSON with {"users": {name: password}}
  STORE_URL            for swarm up: the store, as --store-url
  NO_COLOR             print without colours
  COLUMNS              width of the output without a terminal

\b
Exit status:
  0    success; demo, load and failover: the result is as expected
  1    an error, as one line on standard error; or a result not as expected
  2    wrong usage
  130  stopped by Ctrl-C

'session-cluster COMMAND --help' explains each command.""",
)
@click.version_option(version(), prog_name="session-cluster")
def main() -> None:
    """A session cluster that you can run, break and measure.

    Stateless Flask nodes behind nginx share a session store. With sessions in each node's memory, scaling out logs
    users out. With each browser pinned to a node, a dead node takes its users with it. With a shared store, any node
    can die. All of it runs on this machine without a system package, most of it without Docker or root.
    """


for command in (demo, console, failover, report, load, target, up, kill, swarm, bench, capacity, proxy_config):
    main.add_command(command)


if __name__ == "__main__":
    main()
