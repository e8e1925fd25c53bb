"""Private copies of this system, and processes in them. Must not judge a place."""

import contextlib
import functools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEPLOY = os.path.join(ROOT, "scripts", "deploy")
WAIT_SECONDS = 60
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
URL_FILE = "/home/ml/.config/runwrap/database-url"


class Failed(Exception):
    """A place in which a file of scripts/deploy does not work."""


class NotTried(Exception):
    """A place that cannot be had here."""


def deployed(name):
    with open(os.path.join(DEPLOY, name), encoding="utf-8") as file:
        return file.read()


def need(*programs):
    missing = [program for program in programs if shutil.which(program, path=PATH) is None]
    if missing:
        raise NotTried(f"{', '.join(missing)} cannot be found")


def check(holds, message):
    if not holds:
        raise Failed(message)


def is_equal(subject, expected, found):
    check(expected == found, f"{subject}: expected {expected}, found {found}")


def await_true(subject, condition, seconds=WAIT_SECONDS):
    """Looks five times a second: these daemons have no event to wait for. Returns the last value of the condition."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, f"no {subject} within {seconds} s")
        time.sleep(0.2)


@functools.cache
def python_packages():
    """The folder into which pip installs the packages of PyPI."""
    folder = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "places-python")
    wanted = ["supervisor>=4.3,<5", "kubernetes-validate>=1.37", "pyyaml>=6"]
    if not os.path.isdir(os.path.join(folder, "supervisor")):
        flags = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--target", folder]
        done = subprocess.run([sys.executable, "-m", "pip", "install", *flags, *wanted], check=False)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            raise NotTried("pip cannot install the packages")
    sys.path.insert(0, folder)
    return folder


class System:
    """A copy of this system with the user ml, who has runwrap and a project. Nothing in it reaches the original."""

    def __init__(self, place, binary):
        self.place = tempfile.mkdtemp(dir=place)
        os.chmod(self.place, 0o755)
        self.root = os.path.join(self.place, "root")
        self.daemons = []
        os.mkdir(self.root)
        self.mount("-t", "tmpfs", "tmpfs", self.place)
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(self.place, name))
        options = f"lowerdir=/,upperdir={self.place}/upper,workdir={self.place}/work"
        self.mount("-t", "overlay", "overlay", "-o", options, self.root)
        for folder in ("dev", "sys"):
            self.mount("--rbind", f"/{folder}", self.inside(f"/{folder}"))
        self.mount("-t", "proc", "proc", self.inside("/proc"))
        self.mount("-t", "tmpfs", "tmpfs", self.inside("/run"))
        # A user of this system may have the number 1000.
        others = [line.split(":")[0] for line in self.read("/etc/passwd").splitlines() if line.split(":")[2] == "1000"]
        for other in others:
            self.run("userdel", "--force", other, check=False)
        self.copy(binary, "/usr/local/bin/runwrap")
        self.run("ln", "-sf", "/usr/bin/python3", "/usr/local/bin/python")

    @staticmethod
    def mount(*words):
        done = subprocess.run(["mount", *words], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise NotTried(f"no copy of this system can be made: {done.stderr.strip()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=10)
            daemon.kill()
            daemon.wait()
        subprocess.run(["umount", "--lazy", self.root, self.place], check=False)

    def inside(self, path):
        return self.root + path

    def read(self, path):
        with open(self.inside(path), encoding="utf-8") as file:
            return file.read()

    def exists(self, path):
        return os.path.exists(self.inside(path))

    def write(self, path, text, mode=0o644, owner=None):
        """A file; None removes it."""
        path = self.inside(path)
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        if owner is not None:
            os.chown(path, owner, owner)

    def copy(self, source, path):
        os.makedirs(os.path.dirname(self.inside(path)), exist_ok=True)
        shutil.copy(source, self.inside(path))

    def add_user(self):
        """The user ml with a project, its environment of Python, and the URL of a database in a file."""
        self.run("useradd", "--create-home", "--uid", "1000", "--shell", "/bin/sh", "ml")
        for project in ("/srv/ml", "/home/ml/project"):
            self.run("mkdir", "-p", f"{project}/.venv/bin")
            self.run("ln", "-s", "/usr/bin/python3", f"{project}/.venv/bin/python")
        self.run("mkdir", "-p", "/home/ml/.local/bin")
        self.run("ln", "-s", "/usr/local/bin/runwrap", "/home/ml/.local/bin/runwrap")
        self.write(URL_FILE, "sqlite:/home/ml/runs.db\n", 0o600)
        self.run("chown", "-hR", "ml:", "/home/ml", "/srv/ml")

    def words(self, words, user="root"):
        home = "/root" if user == "root" else f"/home/{user}"
        variables = [f"PATH={PATH}", f"HOME={home}", "LC_ALL=C.UTF-8"]
        return ["chroot", f"--userspec={user}:{user}", self.root, "/usr/bin/env", "-i", *variables, *words]

    def run(self, *words, user="root", check=True):
        """Runs the program to its end."""
        words_of_user = self.words(words, user)
        done = subprocess.run(words_of_user, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise Failed(f"`{shlex.join(words)}` ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self, *words, log, user="root"):
        with open(os.path.join(self.place, log), "w", encoding="utf-8") as file:
            daemon = subprocess.Popen(self.words(words, user), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                      start_new_session=True)
        self.daemons.append(daemon)
        return daemon

    def log(self, name):
        with open(os.path.join(self.place, name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def records(self, name):
        """The records of this name, newest first."""
        command = ["runwrap", "list", "--json", "--name", name]
        listed = self.run("env", f"RUNWRAP_DATABASE_URL_FILE={URL_FILE}", *command, user="ml", check=False)
        return json.loads(listed.stdout) if listed.returncode == 0 else []

    def ends(self, name):
        return [(record["status"], record["reason"], record["stop_signal"]) for record in self.records(name)]

    @staticmethod
    def kill_all():
        """Kills every process of ml at once, as the loss of a machine does."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}").st_uid == 1000:
                    found.append(int(pid))
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        return found
