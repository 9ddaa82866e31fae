#!/usr/bin/env python3
"""Assemble the SSM documents from src/. `--check` fails when a JSON file is stale. A developer's tool: the product never runs it."""
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
UUID = "[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}"
PATH = "/[A-Za-z0-9._/@+-]*"


def text(default, description, pattern=None, values=None):
    parameter = {"type": "String", "default": default, "description": description}
    if pattern:
        parameter["allowedPattern"] = pattern
    if values:
        parameter["allowedValues"] = values
    if default is None:
        del parameter["default"]
    return parameter


EXECUTION_ID = text("None", "The job: a UUID. Data Lifecycle Manager gives its own.", f"^(None|{UUID})$")
QUIESCE = {
    "executionId": EXECUTION_ID,
    "command": text("dry-run", "What to do.", values=["pre-script", "post-script", "dry-run", "snapshot"]),
    "mode": text("coordinated", "What dry-run prepares for: pre-script and post-script, or snapshot, which calls EC2 from the instance.", values=["coordinated", "autonomous"]),
    "freezeRoot": text("no", "Also freeze / and what carries the agent's files; only with snapshot.", values=["no", "yes"]),
    "budgetSeconds": text("30", "The failsafe thaws by itself this many seconds after it was armed.", "^[1-9][0-9]{0,2}$"),
    "mounts": text("auto", "Mount points to freeze, separated by commas; auto: all on EBS volumes that may be.", f"^(auto|{PATH}(,{PATH})*)$"),
}
FILE = "^(auto|/[A-Za-z0-9._/@+-]+)$"
NAME = "^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,62}$"
DOCUMENTS = {
    "linux-filesystem": (
        "freezeframe: freeze the filesystems on EBS volumes before a snapshot and thaw them after it, with a failsafe armed first.",
        QUIESCE,
    ),
    "linux-mysql": (
        "freezeframe: hold the writes of MySQL, MariaDB or Percona Server and freeze its filesystems before a snapshot, release both after it, with a failsafe armed first.",
        {
            **QUIESCE,
            "lockWaitSeconds": text("5", "How long one attempt waits for the global read lock.", "^[1-9][0-9]?$"),
            "lockRetries": text("3", "Further attempts after the first.", "^[0-9]$"),
            "socket": text("auto", "The server's socket; auto: the usual places.", FILE),
            "defaultsFile": text("auto", "A client option file on the instance (user, password); auto: /root/.my.cnf when there is one.", FILE),
            "lockMethod": text("auto", "FLUSH TABLES WITH READ LOCK or MariaDB's BACKUP STAGE; auto: the stages where all tables are InnoDB.", values=["auto", "ftwrl", "backup-stage"]),
            "stop": text("no", "yes: stop the service instead of locking, start it after the thaw.", values=["no", "yes"]),
            "service": text("auto", "The service to stop; auto: mariadb, mysql or mysqld.", NAME),
        },
    ),
    "linux-postgresql": (
        "freezeframe: keep a base backup of PostgreSQL open in one live session and freeze its filesystems before a snapshot, release both after it and hand out the label, with a failsafe armed first.",
        {
            **QUIESCE,
            "lockWaitSeconds": text("10", "How long one attempt to begin the backup, and with it its checkpoint, may take.", "^[1-9][0-9]?$"),
            "lockRetries": text("1", "Further attempts after the first.", "^[0-9]$"),
            "socketDirectory": text("auto", "Where the server's socket is; auto: the usual places.", FILE),
            "port": text("5432", "The port that the socket's name carries.", "^[1-9][0-9]{0,4}$"),
            "user": text("auto", "The database role; auto: the name of the user that the server runs as. A password is read from that user's .pgpass.", NAME),
            "database": text("postgres", "The database to connect to; any will do.", NAME),
        },
    ),
    "linux-mongodb": (
        "freezeframe: lock MongoDB with fsyncLock and freeze its filesystems before a snapshot, release both after it, with a failsafe armed first. Not proven on a real server yet.",
        {
            **QUIESCE,
            "lockWaitSeconds": text("5", "How long one attempt waits for the lock.", "^[1-9][0-9]?$"),
            "lockRetries": text("3", "Further attempts after the first.", "^[0-9]$"),
            "client": text("auto", "The MongoDB shell; auto: mongosh or mongo from the usual places.", FILE),
            "port": text("27017", "The server's port on 127.0.0.1.", "^[1-9][0-9]{0,4}$"),
            "credentialsFile": text("auto", "A file on the instance: user, password and, if it is not admin, the database, one per line; auto: no login.", FILE),
        },
    ),
    "linux-redis": (
        "freezeframe: pause the writes of Redis or Valkey, with its append-only file or dump complete, and freeze its filesystems before a snapshot, release both after it, with a failsafe armed first.",
        {
            **QUIESCE,
            "lockWaitSeconds": text("5", "How long one attempt waits for the append-only file, or for a dump while writes are paused.", "^[1-9][0-9]?$"),
            "lockRetries": text("3", "Further attempts after the first.", "^[0-9]$"),
            "socket": text("auto", "The server's socket; auto: the usual places, else the port on 127.0.0.1.", FILE),
            "port": text("6379", "The port, where there is no socket.", "^[1-9][0-9]{0,4}$"),
            "passwordFile": text("auto", "A file on the instance: the password on its first line, the user, if any, on its second; auto: none.", FILE),
        },
    ),
    "linux-mount": (
        "freezeframe: mount a restored EBS volume at an empty directory, unmount it, or tell where it is.",
        {
            "executionId": EXECUTION_ID,
            "command": text("probe", "What to do.", values=["mount", "umount", "probe"]),
            "volumeId": text(None, "The volume.", "^vol-[0-9a-f]{8,17}$"),
            "mountPoint": text("/mnt", "Where: an empty or missing directory.", "^/[A-Za-z0-9._@+-]+(/[A-Za-z0-9._@+-]+)*$"),
            "options": text("auto", "Mount options; auto: rw, and nouuid for XFS.", "^[a-z0-9_=,]+$"),
            "waitSeconds": text("30", "How long to wait for the device.", "^[1-9][0-9]?$"),
        },
    ),
}


def lines(name):
    out = []
    for line in (HERE / "src" / name).read_text().splitlines():
        include = re.fullmatch(r"#@include (\S+)", line)
        out.extend(lines(include.group(1)) if include else [line])
    return out


def shrink(script):
    """A document may have 64 KB: without blank lines, whole-line comments (but the head and ShellCheck's words) and indentation,
    and with a whole function in one element, since the end of an element costs more than that of a line in it."""
    out = script[:1]
    head = True
    for line in script[1:]:
        bare = line.lstrip(" ")
        head = head and bare.startswith("#")
        if not bare or (bare.startswith("#") and not head and not bare.startswith("# shellcheck ")):
            continue
        if head or "{{" in bare or len(out) == 1 or "{{" in out[-1] or re.match(r"\w+\(\) ", line):
            out.append(bare)
        else:
            # After these words a blank does what an end of line does, and costs half of it.
            out[-1] += (" " if re.search(r"(^|[ ;])(then|do|else|\{)$", out[-1]) and not bare.startswith("#") else "\n") + bare
    return out


def document(name):
    description, parameters = DOCUMENTS[name]
    script = shrink(lines(f"{name}.sh"))
    used = re.findall(r"\{\{\s*(\w+)\s*\}\}", "\n".join(script))
    if sorted(used) != sorted(parameters):
        sys.exit(f"{name}: parameters used once each must be {sorted(parameters)}, found {sorted(used)}")
    step = {
        "action": "aws:runShellScript",
        "name": "run_pre_post_scripts",
        "precondition": {"StringEquals": ["platformType", "Linux"]},
        "inputs": {"runCommand": script, "timeoutSeconds": 120},
    }
    content = json.dumps(
        {"schemaVersion": "2.2", "description": description, "parameters": parameters, "mainSteps": [step]},
        indent=0, ensure_ascii=True,
    ) + "\n"
    if len(content.encode()) >= 65536:
        sys.exit(f"{name}: {len(content)} bytes, the limit is 65,536")
    return content


def main():
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name in DOCUMENTS:
        path, content = HERE / f"{name}.json", document(name)
        if check:
            if not path.exists() or path.read_text() != content:
                stale.append(path.name)
        else:
            path.write_text(content)
    if stale:
        sys.exit("stale, run assets/documents/build.py: " + " ".join(stale))


main()
