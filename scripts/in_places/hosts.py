"""The places on a host: cron, Slurm and supervisord. Each function returns what was seen."""

import os
import re
import signal
import subprocess
import sys

from .system import PATH, ROOT, URL_FILE, Failed, System, await_true, check, deployed, is_equal, need, python_packages

# crond starts the jobs of a minute at its beginning.
CRON_SECONDS = 75
SLURM_SECONDS = 600
STAYS = "import time\nopen('/tmp/trains', 'w').close()\ntime.sleep(600)\n"
# supervisord takes a program that ends within a second for one that could not be started.
ENDS = "import time\ntime.sleep(1.5)\n"

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
