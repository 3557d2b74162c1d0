"""Command line of the local stack; ``make`` calls it."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from local_stack import broker, demo
from local_stack.backup import back_up, restore
from local_stack.doctor import Verdict, examine, findings_table
from local_stack.environment import service_environment
from local_stack.errors import JavaError, ServiceError, StackError
from local_stack.java import find_java
from local_stack.layout import Layout, repository_root
from local_stack.procfile import read_procfile
from local_stack.services import services_of
from local_stack.settings import Settings
from local_stack.setup import set_up
from local_stack.stack import Stack
from local_stack.status import print_logs, status_table, total_memory_bytes
from local_stack.supervisor import VERBS, Supervisor
from local_stack.topic_access import ACCESS, allow
from local_stack.topics import create_topics

Command = Callable[[argparse.Namespace, Settings, Console], None]


def build_stack(settings: Settings) -> Stack:
    """Put together the stack that the settings describe.

    Raises:
        JavaError: there is no Java to run the broker and Spark with.
    """
    java = find_java(settings.tools_dir)
    return Stack(
        layout=Layout(settings.dir.resolve()),
        services=services_of(settings),
        supervisor_command=[sys.executable, "-m", "local_stack", "supervise"],
        env=service_environment(settings, java, repository_root() / ".env"),
        host=settings.host,
        ready_timeout_seconds=settings.ready_timeout_seconds,
        stop_timeout_seconds=settings.stop_timeout_seconds,
    )


def run_setup(_: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Fetch Java if needed, the jars, and prepare the broker."""
    set_up(settings, repository_root(), console)


def run_up(_: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Start every service and wait until each is ready."""
    stack = build_stack(settings)
    stack.up(console, lambda: create_topics(settings.bootstrap_servers, console))
    base = f"http://{settings.host}"
    console.print(
        f"everything is ready:\n"
        f"  dashboard  {base}:{settings.serving_port}/\n"
        f"  API        {base}:{settings.serving_port}/docs\n"
        f"  batch      {base}:{settings.batch_port}/docs\n"
        f"  assistant  {base}:{settings.assistant_port}/docs\n"
        f"next: `make demo`, `make status`, `make logs`, `make down`",
        highlight=False,
    )


def run_down(_: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Stop every service."""
    was_running = build_stack(settings).down()
    console.print("stopped" if was_running else "the stack was not running")


def run_status(_: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Print each service's state."""
    stack = build_stack(settings)
    console.print(status_table(stack))
    console.print(f"memory in all: {total_memory_bytes(stack) / 2**20:.0f} MiB", highlight=False)


def run_doctor(_: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Check the machine and the stack, and say what to do about what is wrong."""
    try:
        stack = build_stack(settings)
    except JavaError:
        stack = None  # one of the findings
    findings = list(examine(settings, stack))
    console.print(findings_table(findings))
    failed = [finding.subject for finding in findings if finding.verdict is Verdict.FAILED]
    if failed:
        raise StackError(f"not well: {', '.join(failed)}")
    console.print("all is well")


def run_backup(arguments: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Write everything the stack keeps into one file; the stack must be down."""
    size = back_up(build_stack(settings), arguments.file)
    console.print(f"wrote {arguments.file}, {size / 2**20:.1f} MiB", highlight=False)


def run_restore(arguments: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Put a backup in the place of the stack's data, which is moved aside."""
    before = restore(build_stack(settings), arguments.file)
    console.print(f"restored {arguments.file}; `make up` starts it", highlight=False)
    if before is not None:
        console.print(f"what was there is in {before}", highlight=False)


def run_logs(arguments: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Print the end of the logs."""
    stack = build_stack(settings)
    known = [*(service.name for service in stack.services), "supervisor"]
    names = [arguments.service] if arguments.service else known
    if unknown := set(names) - set(known):
        raise ServiceError(f"no service {unknown.pop()!r}; there are {', '.join(known)}")
    print_logs(stack, names, arguments.lines, arguments.follow, console)


def run_verb(arguments: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Start, stop or restart one service."""
    stack = build_stack(settings)
    stack.ask(arguments.command, arguments.service)
    if arguments.command != "stop":
        named = [service for service in stack.services if service.name == arguments.service]
        stack.wait_until_ready(named, console)


def run_kill(arguments: argparse.Namespace, settings: Settings, console: Console) -> None:
    """End one service with kill -9."""
    process = build_stack(settings).kill(arguments.service)
    console.print(f"killed {arguments.service} (pid {process.pid}); it is started again")


def run_topics(_: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Create the topics that do not exist yet."""
    create_topics(settings.bootstrap_servers, console)


def run_allow(arguments: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Allow a principal on the broker what a service needs there, and no more."""
    allow(settings.bootstrap_servers, arguments.service, arguments.principal, console)


def run_broker(_: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Become the broker (this process turns into its Java)."""
    spec = broker.BrokerSpec(
        data_dir=settings.dir.resolve() / "kafka",
        tools_dir=settings.tools_dir.resolve(),
        java=find_java(settings.tools_dir),
        port=settings.kafka_port,
        controller_port=settings.kafka_controller_port,
        host=settings.host,
        heap_mib=settings.kafka_heap_mib,
    )
    os.set_inheritable(broker.claim_data(spec), True)
    broker.prepare(spec)
    console.print(f"broker on {spec.bootstrap_servers}, data in {spec.data_dir}")
    command = broker.start_command(spec)
    os.execv(command[0], command)  # noqa: S606 - signals must reach the broker itself


def run_supervise(arguments: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Keep the services running (started by ``up``, detached)."""
    commands = read_procfile(arguments.procfile)
    supervisor = Supervisor(
        commands, os.environ, Layout(settings.dir.resolve()), settings.stop_timeout_seconds
    )
    console.print(f"supervising {', '.join(commands)}")
    supervisor.run(start=[])


def run_java_home(_: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Print the JAVA_HOME that the services run with."""
    console.print(str(find_java(settings.tools_dir).home), highlight=False, soft_wrap=True)


def run_exec(arguments: argparse.Namespace, settings: Settings, _: Console) -> None:
    """Become a command that runs with the environment of the services."""
    env = build_stack(settings).env
    try:
        os.execvpe(arguments.words[0], arguments.words, env)  # noqa: S606 - the caller's command
    except OSError as error:
        raise StackError(f"{arguments.words[0]}: {error.strerror}") from error


def run_demo(_: argparse.Namespace, settings: Settings, console: Console) -> None:
    """Follow 50,000 events from the generator to a cited answer; starts the stack first."""
    started = time.monotonic()
    stack = build_stack(settings)
    stack.up(console, lambda: create_topics(settings.bootstrap_servers, console))
    demo.run_demo(settings, console, started)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    root = argparse.ArgumentParser(prog="python -m local_stack", description=__doc__)
    verbs = root.add_subparsers(dest="command", required=True)

    def add(name: str, run: Command) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=run.__doc__, description=run.__doc__)
        verb.set_defaults(run=run)
        return verb

    add("setup", run_setup)
    add("up", run_up)
    add("down", run_down)
    add("status", run_status)
    add("doctor", run_doctor)
    for name, run in (("backup", run_backup), ("restore", run_restore)):
        add(name, run).add_argument("file", type=lambda text: Path(text).absolute())
    logs = add("logs", run_logs)
    logs.add_argument("service", nargs="?", help="only this one (default: all)")
    logs.add_argument("--lines", type=int, default=50, help="how many of the last lines")
    logs.add_argument("--follow", action="store_true", help="go on with what comes")
    for name in VERBS:
        add(name, run_verb).add_argument("service")
    add("kill", run_kill).add_argument("service")
    add("topics", run_topics)
    access = add("allow", run_allow)
    access.add_argument("service", choices=sorted(ACCESS))
    access.add_argument("principal", help="as the broker knows it: User:NAME")
    add("demo", run_demo)
    add("java-home", run_java_home)
    add("exec", run_exec).add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    add("broker", run_broker)
    supervise = add("supervise", run_supervise)
    supervise.add_argument("--procfile", type=Path, default=repository_root() / "Procfile")
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    chosen = parser().parse_args(arguments)
    # A log or a pipe has no width of its own; tables need more than the usual guess of 80.
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 120)
    os.chdir(repository_root())  # relative paths in settings, and .env, mean the checkout's
    try:
        chosen.run(chosen, Settings(), console)
    except StackError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, highlight=False)
        return 1
    except ValidationError as error:
        for fault in error.errors():
            name = "STACK_" + "_".join(map(str, fault["loc"])).upper()
            sys.stderr.write(f"error: {name}: {fault['msg']}, not {fault['input']!r}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
