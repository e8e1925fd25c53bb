"""The places with containers: the Dockerfile and the objects of Kubernetes, run by runc. There is no engine and no registry: the base
image is a copy of this system, and each instruction of the Dockerfile is carried out in it. Each function returns what was seen.
"""

import json
import os
import signal
import socket
import subprocess
import uuid

from .system import PATH, ROOT, WAIT_SECONDS, NotTried, System, check, deployed, is_equal, need, python_packages

STAYS = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"
NAMESPACES = ("pid", "mount", "ipc", "uts")
KUBERNETES = "1.31"


class Image:
    """The image of the Dockerfile, with runwrap and `train` as the files beside it."""

    def __init__(self, place, binary, train):
        self.system = System(place, binary)
        self.environment = {"PATH": PATH}
        self.user, self.folder = "root", "/"
        self.entrypoint, self.command = [], []
        sources = os.path.join(self.system.place, "sources")
        os.mkdir(sources)
        os.symlink(binary, os.path.join(sources, "runwrap"))
        with open(os.path.join(sources, "train.py"), "w", encoding="utf-8") as file:
            file.write(train)
        # The base image has no user, and no program that was copied into the system.
        self.system.write("/usr/local/bin/runwrap", None)
        lines = deployed("Dockerfile").replace("\\\n", " ").splitlines()
        for line in lines:
            if line and not line.startswith("#"):
                self.carry_out(*line.split(None, 1), sources)
        status, printed = self.container(["/bin/true"], {}, []).run()
        if status != 0:
            raise NotTried(f"runc cannot start a container: {printed.strip()}")

    def carry_out(self, instruction, value, sources):
        if instruction == "COPY":
            source, target = value.split()
            target = os.path.join(self.folder, target)
            if target.endswith("/."):
                target = os.path.join(target[:-1], os.path.basename(source))
            self.system.copy(os.path.join(sources, source), target)
        elif instruction == "RUN":
            self.system.run("/bin/sh", "-c", value, user=self.user)
        elif instruction == "USER":
            self.user = value
        elif instruction == "WORKDIR":
            self.folder = value
        elif instruction == "ENV":
            name, _, word = value.partition("=")
            self.environment[name] = word
        elif instruction == "ENTRYPOINT":
            self.entrypoint = json.loads(value)
        elif instruction == "CMD":
            self.command = json.loads(value)
        else:
            check(instruction == "FROM", f"no way to carry out {instruction}")

    def ids(self):
        lines = (line.split(":") for line in self.system.read("/etc/passwd").splitlines())
        return next((int(line[2]), int(line[3]), line[5]) for line in lines if line[0] == self.user)

    def container(self, command, environment, mounts, security=None):
        """A container of the image. `mounts` are paths outside and inside; `security` is that of a pod and of its container."""
        uid, gid, home = self.ids()
        security = security or {}
        group = security.get("fsGroup")
        user = {"uid": security.get("runAsUser", uid), "gid": security.get("runAsGroup", gid),
                **({"additionalGids": [group]} if group is not None else {})}
        variables = {**self.environment, "HOME": home, **environment}
        bind = [{"type": "bind", "source": source, "destination": target, "options": ["rbind", "ro" if is_read_only else "rw"]}
                for source, target, is_read_only in mounts]
        config = {
            "ociVersion": "1.0.2", "hostname": "trainer-host",
            "root": {"path": self.system.root, "readonly": security.get("readOnlyRootFilesystem", False)},
            "process": {"user": user, "cwd": self.folder, "args": command,
                        "env": [f"{name}={value}" for name, value in variables.items()],
                        "noNewPrivileges": not security.get("allowPrivilegeEscalation", True)},
            "mounts": [{"type": "proc", "source": "proc", "destination": "/proc"},
                       {"type": "tmpfs", "source": "tmpfs", "destination": "/dev"},
                       {"type": "tmpfs", "source": "tmpfs", "destination": "/run"}, *bind],
            "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
        }
        return Container(self.system.place, config)


class Container:
    def __init__(self, place, config):
        self.id = f"runwrap-place-{uuid.uuid4()}"
        self.bundle = os.path.join(place, self.id)
        self.state = os.path.join(place, "runc")
        os.mkdir(self.bundle)
        with open(os.path.join(self.bundle, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)

    def runc(self, *words):
        return ["runc", "--root", self.state, *words]

    def start(self):
        words = self.runc("run", "--bundle", self.bundle, self.id)
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self):
        """Runs it to its end, and returns its status and its output."""
        return self.end(self.start())

    def end(self, running):
        printed, _ = running.communicate(timeout=WAIT_SECONDS)
        return running.returncode, printed

    def signal(self, name):
        subprocess.run(self.runc("kill", self.id, name), check=True)


class Postgres:
    """A server on loopback, which a container reaches as it reaches any other."""

    def __init__(self, place):
        self.script = os.path.join(ROOT, "scripts", "postgres")
        if subprocess.run([self.script, "bin"], check=False, capture_output=True).returncode != 0:
            raise NotTried("there is no PostgreSQL")
        self.folder = os.path.join(place, "postgres")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.url = f"postgresql://admin@127.0.0.1:{port}/postgres"
        self.control("init", self.folder, "listen_addresses = '127.0.0.1'", f"port = {port}", "fsync = off")
        self.control("start", self.folder)

    def control(self, *words):
        subprocess.run([self.script, *words], check=True, stdin=subprocess.DEVNULL)

    def migrate(self, binary):
        """As an administrator: a run then makes no table, and prints nothing of it."""
        words = [binary, "migrate", "--database-url", self.url]
        subprocess.run(words, check=True, capture_output=True, env={"PATH": PATH, "HOME": self.folder})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control("attend", self.folder)


def records(system, binary, url):
    words = [binary, "list", "--json", "--database-url", url]
    listed = subprocess.run(words, check=False, capture_output=True, text=True, env={"PATH": PATH, "HOME": system.place})
    found = json.loads(listed.stdout) if listed.returncode == 0 else []
    return [(record["name"], record["status"], record["reason"], record["stop_signal"]) for record in found]


def secret(system, url, mode, owner):
    """The file with the URL, as an engine mounts it."""
    folder = os.path.join(system.place, "secret")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "database-url")
    with open(path, "w", encoding="utf-8") as file:
        file.write(url)
    os.chmod(path, mode)
    os.chown(path, *owner)
    return folder


def lose(container, running):
    """SIGKILL to the first process, with which the kernel ends all others."""
    container.signal("KILL")
    return container.end(running)


def docker(place, binary):
    need("runc")
    with Postgres(place) as postgres:
        postgres.migrate(binary)
        image = Image(place, binary, STAYS)
        with image.system as system:
            # A new named volume takes the owner of the image's folder.
            volume = os.path.join(system.place, "volume")
            os.mkdir(volume, 0o700)
            state = os.stat(system.inside("/state"))
            os.chown(volume, state.st_uid, state.st_gid)
            file = os.path.join(secret(system, postgres.url, 0o644, (0, 0)), "database-url")
            mounts = [(volume, "/state", False), (file, "/run/secrets/database-url", True)]
            environment = {"RUNWRAP_NAME": "nightly", "RUNWRAP_DATABASE_URL_FILE": "/run/secrets/database-url"}
            command = image.entrypoint + image.command

            ended = image.container(image.entrypoint + ["python", "-c", "print('trained')"], environment, mounts).run()
            is_equal("the run to its end", (0, "trained\n"), ended)
            stopped = image.container(command, environment, mounts)
            running = stopped.start()
            is_equal("the first line", "ready\n", running.stdout.readline())
            stopped.signal("TERM")
            is_equal("the stopped container", (128 + signal.SIGTERM, ""), stopped.end(running))
            killed = image.container(command, environment, mounts)
            running = killed.start()
            is_equal("the first line", "ready\n", running.stdout.readline())
            is_equal("the killed container", (128 + signal.SIGKILL, ""), lose(killed, running))
            newest = records(system, binary, postgres.url)[0]
            is_equal("the record of the killed container", ("nightly", "training", None, None), newest)
            status, printed = image.container(["runwrap", "recover"], environment, mounts).run()
            check(status == 0 and "lost" in printed, f"recover: {status} {printed}")
            is_equal("the records", [("nightly", "failed", "lost", None), ("nightly", "failed", "cancelled", "SIGTERM"),
                                     ("nightly", "completed", "success", None)], records(system, binary, postgres.url))
    return "runc, with a copy of this system as the base image: end, stop, SIGKILL and recover as the Dockerfile has them"


def kubernetes(place, binary):
    python_packages()
    import kubernetes_validate  # pylint: disable=import-outside-toplevel
    import yaml  # pylint: disable=import-outside-toplevel
    objects = [one for name in ("train-job.yaml", "recover-cronjob.yaml") for one in yaml.safe_load_all(deployed(name))]
    for one in objects:
        try:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            check(False, f"{one['kind']}: {error.message} at {error.path}")
    need("runc")
    kinds = {one["kind"]: one for one in objects}
    job, recover = kinds["Job"]["spec"]["template"], kinds["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]
    with Postgres(place) as postgres:
        postgres.migrate(binary)
        image = Image(place, binary, STAYS)
        with image.system as system:
            ended = pod(image, job, postgres.url, ["python", "-c", "print('trained')"]).run()
            is_equal("the pod that ends", (0, "trained\n"), ended)
            first = pod(image, job, postgres.url)
            running = first.start()
            is_equal("the first line", "ready\n", running.stdout.readline())
            is_equal("the killed pod", (128 + signal.SIGKILL, ""), lose(first, running))
            status, printed = pod(image, recover, postgres.url).run()
            check(status == 0 and "lost" in printed, f"recover: {status} {printed}")
            found = records(system, binary, postgres.url)
            is_equal("the records", [("nightly", "failed", "lost", None), ("nightly", "completed", "success", None)], found)
    return f"the schema of {KUBERNETES} accepts the objects; runc runs the commands of Job and CronJob with user, volumes and secret"


def pod(image, template, url, arguments=None):
    """The container of a pod, as a kubelet makes it: the claim is one folder, which the group of `fsGroup` may write."""
    spec = template["spec"]
    container = spec["containers"][0]
    security = {**spec["securityContext"], **container["securityContext"]}
    volumes = {}
    for volume in spec["volumes"]:
        if "secret" in volume:
            folder = secret(image.system, url, volume["secret"]["defaultMode"], (0, security["fsGroup"]))
        else:
            folder = os.path.join(image.system.place, volume["persistentVolumeClaim"]["claimName"])
            os.makedirs(folder, exist_ok=True)
            os.chown(folder, 0, security["fsGroup"])
            os.chmod(folder, 0o2775)
        volumes[volume["name"]] = folder
    mounts = [(volumes[mount["name"]], mount["mountPath"], mount.get("readOnly", False)) for mount in container["volumeMounts"]]
    environment = {variable["name"]: variable.get("value", "0198f3c1-controller-uid") for variable in container["env"]}
    words = container.get("command", image.entrypoint) + (arguments or container.get("args", []))
    return image.container(words, environment, mounts, security)
