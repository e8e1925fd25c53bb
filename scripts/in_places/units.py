"""The units under a real systemd: the first process of a container, with these units alone and a read-only /proc/sys, so that it
changes nothing of this system.
"""

import contextlib
import subprocess

from .containers import Container
from .system import PATH, URL_FILE, NotTried, System, await_true, check, deployed, is_equal, need

UNITS = ("runwrap-train.service", "runwrap-train.timer", "runwrap-recover.service")
FOLDER = "/etc/systemd/system"
DATABASE = "sqlite:/var/lib/runwrap/runs.db\n"
STAYS = "import time\nopen('/tmp/trains', 'w').close()\ntime.sleep(600)\n"

# What the units and systemd refer to. Those of the distribution would configure the kernel.
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user", "timers", "default", "time-set", "time-sync")

# By number. Not those that reach the kernel of this system: modules, time, raw devices, its log.
CAPABILITIES = {
    0: "CHOWN", 1: "DAC_OVERRIDE", 2: "DAC_READ_SEARCH", 3: "FOWNER", 4: "FSETID", 5: "KILL", 6: "SETGID", 7: "SETUID",
    8: "SETPCAP", 18: "SYS_CHROOT", 19: "SYS_PTRACE", 21: "SYS_ADMIN", 23: "SYS_NICE", 24: "SYS_RESOURCE", 29: "AUDIT_WRITE", 31: "SETFCAP",
}
NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup", "network")


class Manager:
    """A running systemd."""

    def __init__(self, system):
        self.container = Container(system.place, config(system.root))
        self.running = self.container.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.running.wait(timeout=2)
        end = self.running.poll()
        if end is not None:
            printed = self.running.stdout.read().strip()
            raise NotTried(f"systemd-analyze verify accepts the units, but systemd cannot run in a container here: {end} {printed}")

    def __enter__(self):
        await_true("answer of systemd", lambda: self.ask("is-system-running").strip() == "running")
        return self

    def __exit__(self, *_):
        subprocess.run(self.container.runc("delete", "--force", self.container.id), check=False, capture_output=True)
        self.running.wait()

    def ask(self, *words):
        """Runs systemctl, and returns its output."""
        command = self.container.runc("exec", "--env", f"PATH={PATH}", self.container.id, "systemctl", "--no-pager", *words)
        done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done.stdout + done.stderr

    def start(self, *words):
        is_equal(f"systemctl start {' '.join(words)}", "", self.ask("start", *words))

    def main_process(self, unit):
        return self.ask("show", "--property=MainPID", "--value", unit).strip()


def config(root):
    with open("/proc/self/status", encoding="ascii") as file:
        bound = next(int(line.split()[1], 16) for line in file if line.startswith("CapBnd:"))
    capabilities = [f"CAP_{name}" for number, name in CAPABILITIES.items() if bound >> number & 1]

    def mount(kind, path, *options):
        return {"type": kind, "source": kind, "destination": path, "options": list(options)}

    return {
        "ociVersion": "1.0.2", "hostname": "places", "root": {"path": root},
        "process": {
            "user": {"uid": 0, "gid": 0}, "cwd": "/",
            "args": ["/lib/systemd/systemd", "--log-target=console", "--show-status=0"],
            "env": [f"PATH={PATH}", "container=oci", f"SYSTEMD_UNIT_PATH={FOLDER}", "SYSTEMD_GENERATOR_PATH=/nonexistent",
                    "SYSTEMD_PROC_CMDLINE="],
            "capabilities": {kind: capabilities for kind in ("bounding", "effective", "permitted")},
        },
        # systemd mounts a credential in a place of its own, from which it reaches the service only if the mounts are shared.
        "mounts": [
            mount("proc", "/proc"), mount("tmpfs", "/dev", "mode=755"), mount("tmpfs", "/dev/shm", "rshared"),
            mount("devpts", "/dev/pts", "newinstance", "ptmxmode=0666", "mode=0620"), mount("sysfs", "/sys", "ro"),
            mount("cgroup", "/sys/fs/cgroup", "rw"), mount("tmpfs", "/run", "mode=755", "rshared"),
        ],
        "linux": {
            "rootfsPropagation": "shared", "namespaces": [{"type": kind} for kind in NAMESPACES],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
        },
    }


def install(system):
    system.add_user()
    system.run("sh", "-c", f"rm -rf {FOLDER}/*")
    for unit in UNITS:
        system.write(f"{FOLDER}/{unit}", deployed(unit))
    done = system.run("systemd-analyze", "verify", "--man=no", *(f"{FOLDER}/{unit}" for unit in UNITS), check=False)
    # Other units of this system may have findings of their own.
    check(done.returncode == 0 and "runwrap-" not in done.stderr, f"systemd-analyze verify: {done.stderr}")
    for target in TARGETS:
        system.write(f"{FOLDER}/{target}.target", f"[Unit]\nDescription={target}\nDefaultDependencies=no\n")
    system.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    system.write("/etc/runwrap/database-url", DATABASE, 0o600)
    # For the look at the records from outside.
    system.write(URL_FILE, DATABASE, 0o600, owner=1000)


def systemd(place, binary):
    need("systemd-analyze", "runc")
    with System(place, binary) as system:
        install(system)
        with Manager(system) as manager:
            try_trainer(system, manager)
            try_recovery(system, manager)
            try_timer(system, manager)
    return "end and stop of the service; the recovery notifies, ends a killed run and restarts after SIGKILL; the timer elapses"


def start_trainer(system, manager, number):
    """Starts a run that stays."""
    system.write("/tmp/trains", None)
    system.write("/srv/ml/train.py", STAYS, owner=1000)
    manager.start("--no-block", "runwrap-train.service")
    await_true("trainer", lambda: system.exists("/tmp/trains"))
    await_true("record", lambda: len(system.ends("nightly")) == number)


def try_trainer(system, manager):
    system.write("/srv/ml/train.py", "import sys\nprint('lost loss', file=sys.stderr)\nsys.exit(3)\n", owner=1000)
    check("failed" in manager.ask("start", "runwrap-train.service"), "the service does not fail with its run")
    record = system.records("nightly")[0]
    is_equal("the failed run", ("failed", "exit", "exited with code 3\nlost loss", "ml"),
             tuple(record[key] for key in ("status", "reason", "error_message", "username")))
    start_trainer(system, manager, 2)
    is_equal("systemctl stop", "", manager.ask("stop", "runwrap-train.service"))
    is_equal("the stopped run", ("failed", "cancelled", "SIGTERM"), system.ends("nightly")[0])


def try_recovery(system, manager):
    start_trainer(system, manager, 3)
    manager.ask("kill", "--signal=KILL", "runwrap-train.service")
    await_true("end of the service", lambda: manager.ask("is-active", "runwrap-train.service").strip() == "failed")
    is_equal("the killed run", ("training", None, None), system.ends("nightly")[0])
    # It returns when the recovery has notified systemd.
    manager.start("runwrap-recover.service")
    await_true("end of the killed run", lambda: system.ends("nightly")[0][:2] == ("failed", "lost"))
    before = manager.main_process("runwrap-recover.service")
    manager.ask("kill", "--signal=KILL", "runwrap-recover.service")
    await_true("restart of the recovery", lambda: manager.main_process("runwrap-recover.service") not in ("0", before))
    await_true("READY=1", lambda: manager.ask("is-active", "runwrap-recover.service").strip() == "active")
    is_equal("systemctl stop", "", manager.ask("stop", "runwrap-recover.service"))
    result = manager.ask("show", "--property=Result", "--value", "runwrap-recover.service").strip()
    is_equal("the stopped recovery", "success", result)


def try_timer(system, manager):
    """With another hour, in a file that overrides it."""
    system.write("/srv/ml/train.py", "", owner=1000)
    system.write(f"{FOLDER}/runwrap-train.timer.d/soon.conf", "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nAccuracySec=100ms\n")
    is_equal("systemctl daemon-reload", "", manager.ask("daemon-reload"))
    manager.start("runwrap-train.timer")
    await_true("run of the timer", lambda: system.ends("nightly")[0] == ("completed", "success", None))
