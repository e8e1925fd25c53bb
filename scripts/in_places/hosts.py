"""The places on a host: systemd, cron, Slurm and supervisord. Each function returns what was seen."""

import os
import re
import signal
import socket
import subprocess
import sys

from .system import PATH, ROOT, URL_FILE, WAIT_SECONDS, Failed, System, await_true, check, deployed, is_equal, need, python_packages

# crond starts the jobs of a minute at its beginning.
CRON_SECONDS = 75
SLURM_SECONDS = 600
STAYS = "import time\nopen('/tmp/trains', 'w').close()\ntime.sleep(600)\n"
# supervisord takes a program that ends within a second for one that could not be started.
ENDS = "import time\ntime.sleep(1.5)\n"

UNITS = ("runwrap-train.service", "runwrap-train.timer", "runwrap-recover.service")

SUPERVISORD = """
[unix_http_server]
file=/run/supervisor.sock
[supervisord]
pidfile=/run/supervisord.pid
logfile=/var/log/supervisord.log
childlogdir=/var/log
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix:///run/supervisor.sock
[include]
files=/etc/supervisor/conf.d/*.conf
"""


def systemd(place, binary):
    need("systemd-analyze")
    with System(place, binary) as system:
        system.add_user()
        for unit in UNITS:
            system.write(f"/etc/systemd/system/{unit}", deployed(unit))
        done = system.run("systemd-analyze", "verify", "--man=no", *(f"/etc/systemd/system/{unit}" for unit in UNITS), check=False)
        # Other units of this system may have findings of their own.
        check(done.returncode == 0 and "runwrap-" not in done.stderr, f"systemd-analyze verify: {done.stderr}")
        # systemd itself must be the first process of a system: the commands run in the environment that it would make.
        system.write("/srv/ml/train.py", "import os\nprint('trained', os.getcwd())\n", owner=1000)
        train, recover = unit_of("runwrap-train.service"), unit_of("runwrap-recover.service")
        done = system.run(*command_of(system, train), user="ml")
        is_equal("the output of the training service", "trained /srv/ml\n", done.stdout)
        is_equal("its record", [("completed", "success", None)], system.ends("nightly"))
        serve_recovery(system, recover)
    return "systemd-analyze verify accepts the units; without a manager: their commands, READY=1 of the recovery and its system calls"


def unit_of(name):
    """The settings of a unit, each with all its values."""
    settings = {}
    for line in deployed(name).splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


def command_of(system, unit, *words):
    """ExecStart with the variables, the directories and the credential of the unit, as a command line. `words` precede it."""
    is_equal("User", ["ml"], unit["User"])
    name, source = unit["LoadCredential"][0].split(":")
    system.write(source, "sqlite:/home/ml/runs.db\n", 0o600)
    system.write(f"/run/credentials/{name}", system.read(source), 0o400, owner=1000)
    state = f"/var/lib/{unit['StateDirectory'][0]}"
    system.run("install", "-d", "-o", "ml", "-g", "ml", "-m", unit["StateDirectoryMode"][0], state)
    check(f"RUNWRAP_STATE_DIR={state}" in unit["Environment"][0].split(), "the state directory is another")
    variables = unit["Environment"][0].replace("%d", "/run/credentials").split()
    folder = unit.get("WorkingDirectory", ["/"])[0]
    return ["env", f"--chdir={folder}", *variables, *words, *unit["ExecStart"][0].split()]


def serve_recovery(system, unit):
    """The recovery without privileges, until it has notified its manager. Every system call is one that the unit allows."""
    need("strace", "setpriv")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(WAIT_SECONDS)
        manager.bind(system.inside("/run/notify"))
        os.chmod(system.inside("/run/notify"), 0o666)
        around = ["NOTIFY_SOCKET=/run/notify", "strace", "-f", "-qq", "-e", "signal=none", "-o", "/tmp/calls",
                  "setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        daemon = system.start(*command_of(system, unit, *around), log="recover", user="ml")
        received = b""
        while b"READY=1" not in received:
            received = manager.recv(4096)
        os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(timeout=WAIT_SECONDS)
    calls = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", system.read("/tmp/calls"), re.MULTILINE))
    allowed = allowed_calls(unit["SystemCallFilter"][0])
    check(len(calls) > 20 and calls <= allowed, f"system calls beyond SystemCallFilter: {', '.join(sorted(calls - allowed))}")


def allowed_calls(filter_set):
    """The system calls of a set and of the sets in it."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", filter_set], check=True, capture_output=True, text=True)
    lines = [line.strip() for line in listed.stdout.splitlines()[1:]]
    words = [line for line in lines if line and not line.startswith("#")]
    return {call for word in words for call in (allowed_calls(word) if word.startswith("@") else {word})}


def cron(place, binary):
    need("cron", "crontab")
    with System(place, binary) as system:
        system.add_user()
        for path in ["/etc/crontab", *(f"/etc/cron.d/{name}" for name in os.listdir("/etc/cron.d"))]:
            system.write(path, None)
        system.write("/home/ml/project/train.py", "import sys; sys.exit('out of luck')", owner=1000)
        nightly, recover = (re.compile(f"^{re.escape(fields)} ", re.MULTILINE) for fields in ("0 2 * * *", "*/5 * * * *"))
        text = deployed("crontab")
        check(nightly.search(text) and recover.search(text), "the crontab has other times")
        install(system, nightly.sub("* * * * * ", text))
        system.start("cron", "-f", log="cron")
        await_true("record of the nightly run", lambda: system.ends("nightly"), CRON_SECONDS)
        await_true("end of the nightly run", lambda: system.ends("nightly")[-1][0] != "training")
        record = system.records("nightly")[-1]
        is_equal("the nightly run", ("failed", "exit", "exited with code 1\nout of luck"),
                 tuple(record[key] for key in ("status", "reason", "error_message")))
        lose_run(system)
        install(system, recover.sub("* * * * * ", text))
        await_true("end of the lost run", lambda: system.ends("dead")[0][1] == "lost", 2 * CRON_SECONDS)
    return "crond ran the nightly line within a minute, and the line of recover ended a run whose processes were all killed"


def install(system, crontab):
    system.write("/home/ml/crontab", crontab)
    system.run("crontab", "-u", "ml", "/home/ml/crontab")


def lose_run(system):
    """Leaves the journal of a run without a process."""
    command = ["runwrap", "-n", "dead", "--", "sleep", "600"]
    system.start("env", f"RUNWRAP_DATABASE_URL_FILE={URL_FILE}", *command, log="dead", user="ml")
    await_true("record of the dead run", lambda: system.ends("dead"))
    await_true("trainer of the dead run", lambda: b"sleep\x00600" in b"".join(commands()))
    check(system.kill_all(), "no process of the run can be found")
    is_equal("the dead run", [("training", None, None)], system.ends("dead"))


def commands():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                yield file.read()
        except OSError:
            continue


def slurm(_, binary):
    need("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel")
    command = [os.path.join(ROOT, "scripts", "slurm"), "--binary", binary]
    done = subprocess.run(command, check=False, timeout=SLURM_SECONDS, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={**os.environ, "PATH": f"{os.environ['PATH']}:{PATH}"})
    if done.returncode != 0:
        raise Failed(done.stdout.strip())
    return "slurmctld and slurmd: requeue, time limit, scancel and the ranks of srun"


def supervisord(place, binary):
    packages = python_packages()
    with System(place, binary) as system:
        system.add_user()
        system.write("/etc/supervisord.conf", SUPERVISORD)
        system.write("/etc/supervisor/conf.d/runwrap.conf", deployed("supervisord.conf"))
        system.write("/srv/ml/train.py", STAYS, owner=1000)

        def program(name):
            return ["env", f"PYTHONPATH={packages}", sys.executable, "-m", f"supervisor.{name}", "-c", "/etc/supervisord.conf"]

        def control(*words):
            return system.run(*program("supervisorctl"), *words, check=False).stdout

        system.start(*program("supervisord"), "-n", log="supervisord")
        await_true("record", lambda: system.ends("online") == [("training", None, None)])
        await_true("running recovery", lambda: "RUNNING" in control("status", "runwrap-recover"))
        await_true("trainer", lambda: system.exists("/tmp/trains"))
        control("stop", "train")
        is_equal("the stopped run", [("failed", "cancelled", "SIGTERM")], system.ends("online"))
        check("STOPPED" in control("status", "train"), "the program is not stopped")

        control("start", "train")
        await_true("record of the second run", lambda: len(system.ends("online")) == 2)
        os.kill(int(control("pid", "train")), signal.SIGKILL)
        await_true("restart after SIGKILL of runwrap", lambda: len(system.ends("online")) == 3)
        await_true("end of the killed run", lambda: system.ends("online")[1][:2] == ("failed", "supervisor_killed"))
        control("stop", "train")

        system.write("/srv/ml/train.py", ENDS, owner=1000)
        control("start", "train")
        await_true("completed run", lambda: system.ends("online")[0][:2] == ("completed", "success"))
        await_true("exited program", lambda: "EXITED" in control("status", "train"))
        is_equal("the number of runs", 4, len(system.ends("online")))
    return "stop is cancelled, SIGKILL of runwrap is recorded and restarted, exit 0 is completed and not restarted"
