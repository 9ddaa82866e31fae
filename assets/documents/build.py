#!/usr/bin/env python3
"""Assemble the SSM documents from src/. `--check` fails when a JSON file is stale. A developer's tool: the product never runs it."""
import collections
import json
import pathlib
import re
import string
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
    "leaveOut": text("none", "Left out of sets.", "^(none|((^|,)(root|tags|vol-[0-9a-f]+))+)$"),
    "recipe": text("auto", "What snapshot tags its set with; auto: the document's own.", "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    "budgetSeconds": text("30", "The failsafe thaws this many seconds after it was armed.", "^[1-9][0-9]{0,2}$"),
    "mounts": text("auto", "Mount points to freeze, comma-separated; auto: all on EBS volumes that may be.", f"^(auto|{PATH}(,{PATH})*)$"),
}
FILE = "^(auto|/[A-Za-z0-9._/@+-]+)$"
CLIENT = text("auto", "The client; auto: the usual places.", FILE)
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
            "client": CLIENT,
            "socket": text("auto", "Its socket; auto: the usual places.", FILE),
            "defaultsFile": text("auto", "A client option file on the instance (user, password); auto: /root/.my.cnf, if any.", FILE),
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
            "client": CLIENT,
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
            "client": CLIENT,
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
            "client": CLIENT,
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


def end_of(text, at, quoted=False):
    """Where what begins at `at` ends: an escaped character, a quoted string, `${...}`, `$(...)`; any other character by itself."""
    if text[at] == "\\":
        return at + 2
    if text[at] == "'" and not quoted:
        return text.index("'", at + 1) + 1
    if text[at] == '"':
        at += 1
        while text[at] != '"':
            at = end_of(text, at, True)
        return at + 1
    if text.startswith("${", at):
        at += 2
        while text[at] != "}":
            at = end_of(text, at, quoted)
        return at + 1
    if text.startswith("$(", at):
        at += 2
        depth = 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at = end_of(text, at)
        return at
    return at + 1


def opaque(text):
    """The text without comments, and with a letter of its own (private use) for everything in which each character counts: strings, expansions,
    here-documents. Knows as much of the shell's grammar as these sources use; that nothing is changed is tested by parse trees."""
    out, kept, heredoc, at = "", [], None, 0
    while at < len(text):
        end = end_of(text, at)
        marker = re.match(r"<<(['\"]?)(\w+)\1", text[at:])
        if text[at] == "#" and (at == 0 or text[at - 1] in " ;\n") and not re.match(r"#(!|@| shellcheck )", text[at:]):
            at = text.find("\n", at)
            continue
        if text[at] == "\n" and heredoc:
            end = text.index(f"\n{heredoc}\n", at) + len(heredoc) + 1
            heredoc = None
        elif marker and not text[:at].endswith("<"):
            heredoc = marker.group(2)
            end = at + len(marker.group(0))
        elif end == at + 1:
            out += text[at]
            at = end
            continue
        elif text[at:end] == "\\\n":
            out += " "
            at = end
            continue
        kept.append(text[at:end])
        out += chr((0xF0000 if kept[-1][0] == "\n" else 0xE000) + len(kept) - 1)
        at = end
    return out, kept


# Signs at whose sides a blank does nothing.
TIGHT = re.compile(r" *(;;|;|&&|\|\||\||\)) *|(?<=[^\d\s]) +(?=[<>])")
KEYWORD = re.compile(r"(^|[\s;|&(){])(then|do|else|in|\{)$")


def joint(before, pattern, after):
    """What an end of line becomes, which costs two bytes in JSON, and a blank or a semicolon one."""
    if ord(before[-1]) >= 0xF0000:
        return "\n"
    if KEYWORD.search(before) or re.search(r"[^&]&$", before):
        return " "
    if pattern or re.search(r"(;;|&&|\||\()$", before) or re.match(r";;|\)", after):
        return ""
    return ";"


def code(script):
    """The head, the lines of code without comments and with letters for what is opaque, and what puts that back."""
    body = next(n for n, line in enumerate(script) if not line.startswith("#"))
    text, kept = opaque("\n".join(script[body:]) + "\n")
    restore = lambda line: re.sub("[\ue000-\uf8ff\U000f0000-\U000fffff]", lambda sign: kept[ord(sign[0]) % 0x1000], line)
    return script[:body], [line for line in text.split("\n") if line.strip(" ")], restore


def easy(script, indent):
    """What a person can still read: without blank lines and comments (but the head and ShellCheck's words), and either with indentation, an
    element a line, or without, an element a function."""
    out, text, restore = code(script)
    for line in text:
        bare = line.strip(" ")
        shown = restore(line if indent else bare)
        if indent or "{{" in shown or "{{" in out[-1] or re.match(r"\w+\(\) ", bare):
            out.append(shown)
        else:
            out[-1] += "\n" + shown
    return out


# Blanks within arithmetic; where taking one out would make another sign, it stays.
ARITHMETIC = re.compile(r"\$\(\([^()]+\)\)")
BLANK = re.compile(r"(?<![+-]) (?![+-])|(?<![+-]) (?=[+-] )|(?<= [+-]) ")


def shrink(script, dense=False):
    """A document may have 64 KB: without blank lines, comments (but the head and ShellCheck's words), indentation and blanks that only please
    the eye; a function on one line, an element each. Dense: as many functions on a line as make some 2,000 characters."""
    head, text, restore = code(script)
    out, depth, pattern, alone = [""], 0, False, True
    for line in (line.strip(" ") for line in text):
        function = re.match(r"\w+\(\) ", line)
        directive = line.startswith("# ")
        if directive:
            # Without its reason
            line = " ".join(line.split(" ")[:3])
        parameter = "{{" in restore(line)
        if not directive:
            line = TIGHT.sub(lambda found: found[1] or "", line)
        if alone or (function and not (dense and len(out[-1]) < 2000)) or directive or parameter:
            out.append(line)
        else:
            out[-1] += joint(out[-1], pattern, line) + line
        alone = directive or parameter
        for sign in line:
            if sign == "(":
                depth += 1
            elif sign == ")":
                pattern = depth == 0
                depth -= not pattern
        pattern = pattern and line.endswith(")")
    return head + [ARITHMETIC.sub(lambda found: BLANK.sub("", found[0]), restore(line)) for line in out[1:]]


# --- names ---

IDENTIFIER = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_]*")
# What other programs or the shell read as well, whoever sets it here.
THEIRS = re.compile(r"(AWS|SSM|LC|PG|BASH)_\w+|PATH|HOME|IFS|ENV|LANG|LANGUAGE|TMPDIR|TZ|SHELL|USER|HOSTNAME|PWD|OLDPWD|CDPATH|UID|EUID|PPID|PS\d|OPT\w+|RANDOM|SECONDS|LINENO|TERM|MAIL|COLUMNS|LINES")
PREFIX = re.compile(r"((then|do|else|if|elif|while|until|!|\{) +)+")
BETWEEN = re.compile(r"[\n;&|(){}]")
# A sign of opaque(), or of what was counted already.
SIGN = "[\ue000-\uf8ff\U000f0000-\U000fffff]"


class Names:
    """Where names stand in a script: `set` are the variables that it assigns and `defined` its functions; `known` counts the places at which a name can
    be nothing but that variable or that function. What is not known (text, an argument, the environment of another program) is in none of them."""

    def __init__(self, text):
        self.set, self.defined, self.known = set(), set(), collections.Counter()
        self.commands(text)

    def variable(self, name):
        self.known[name] += 1

    def commands(self, text):
        code, kept = opaque(text)
        for name in re.findall(r"(?<!\\)\$([A-Za-z_]\w*)", code):
            self.variable(name)
        code = re.sub(r"\$[A-Za-z_]\w*", "\ue000", code)
        quoted = False
        for piece in kept:
            if piece.startswith("<<"):
                quoted = piece[2] in "'\""
            elif piece[0] == "\n":
                if not quoted:
                    self.words(piece)
            else:
                self.piece(piece)
        # The patterns of `case` are text.
        code = re.sub(r"(\bin|;;)\s+[^();\n]*\)", r"\1\n", code)
        code = re.sub(r"(\bin|;;)[^();\n]*\)", r"\1\n", code)
        self.defined.update(re.findall(r"(?:^|\n) *([a-z]\w*)\(\) ", code))
        code = re.sub(rf"\d?[<>][<>&]*-?(?:{SIGN}|[^\s;&|(){{}}])*", " ", code)
        for statement in BETWEEN.split(code):
            statement = PREFIX.sub("", statement.strip() + " ").strip()
            assigned = re.match(r"((?:[A-Za-z_]\w*=\S*(?: +|$))*)(.*)", statement)
            names = re.findall(r"(?:^| )([A-Za-z_]\w*)=", assigned[1])
            words = assigned[2].split()
            # What stands before a command is its environment.
            if not words:
                self.set.update(names)
                self.known.update(names)
                continue
            if words[0] == "for":
                listed = words[1:2]
            elif words[0] == "read":
                listed = [word for word in words[1:] if not word.startswith("-")]
            else:
                self.known[words[0]] += 1
                continue
            self.set.update(listed)
            self.known.update(listed)

    def piece(self, piece):
        """What opaque() set aside: an escaped character, a string, an expansion."""
        if piece.startswith("$(("):
            if "$(" not in piece[3:]:
                self.known.update(IDENTIFIER.findall(piece))
            else:
                self.words(piece[3:-2])
        elif piece.startswith("$("):
            self.commands(piece[2:-1] + "\n")
        elif piece.startswith("${"):
            name = re.match(r"\$\{#?([A-Za-z_]\w*)", piece)
            if name:
                self.variable(name[1])
            self.words(piece[name.end() if name else 2 : -1])
        elif piece[0] == '"':
            self.words(piece[1:-1])

    def words(self, text):
        """Inside of a string in which the shell expands."""
        at = 0
        while at < len(text):
            name = re.match(r"\$([A-Za-z_]\w*)", text[at:])
            if name:
                self.variable(name[1])
                at += name.end()
                continue
            end = end_of(text, at, True)
            if end > at + 1:
                self.piece(text[at:end])
            at = end


def short_names(script):
    """{our name: a short one}. Ours are the script's own variables and functions, where every place at which the word stands is known to be one."""
    head, text, restore = code(script)
    body = "\n".join(restore(line) for line in text if not line.lstrip().startswith("# ")) + "\n"
    names = Names(body)
    everywhere = collections.Counter(IDENTIFIER.findall(body))
    ours = [
        name
        for name in (names.set | names.defined) - (names.set & names.defined)
        if len(name) > 2 and names.known[name] == everywhere[name] and not THEIRS.fullmatch(name)
    ]
    # The most bytes first. A variable is Aa, which no program reads from its environment, and a function aA, which is no program; one letter where that is free.
    ours.sort(key=lambda name: (-everywhere[name] * (len(name) - 1), name))
    upper, lower = string.ascii_uppercase, string.ascii_lowercase
    taken = set(re.findall(r"\w+", "\n".join(head) + body))
    # ShellCheck takes these for words of the shell.
    free = lambda name: name not in taken and name.lower() not in ("do", "fi", "if", "in")
    fresh = lambda one, first, second: filter(free, [*one, *(a + b for a in first for b in second)])
    variables, functions = fresh(upper, upper, lower), fresh("", lower, upper)
    return {name: next(functions if name in names.defined else variables) for name in ours}


def renamed(script):
    """Denser than dense, for what does not fit otherwise. Nothing but names changes, which is tested; `--names` tells what they were."""
    short = short_names(script)
    head, text, restore = code(script)
    body = [IDENTIFIER.sub(lambda found: short.get(found[0], found[0]), restore(line)) for line in text]
    return shrink(head + ["# Names are short for want of room."] + body, True)


# --- conditions ---

CONDITION = re.compile(r"( *)if ((?:(?!\|\||;|\bthen\b).)+); then ((?:(?!\|\||;|\b(?:if|case|for|while|until)\b).)+); fi")
# What ends a list of commands, or reads the exit status of the one before.
READS_STATUS = re.compile(r" *(\}|\)|;;|(fi|else|elif|done|esac)\b|(return|exit)$)|.*\$\?", re.S)


def brief(script):
    """`if A; then B; fi` as `A && B`, where that changes nothing: their exit statuses differ when A fails, so another command must follow
    that does not read it."""
    head, text, restore = code(script)
    body = []
    for line, after in zip(text, text[1:] + ["}"]):
        found = CONDITION.fullmatch(line)
        if found and not READS_STATUS.match(restore(after)) and not (body and re.search(r"(&&|\|)$", body[-1])):
            line = "{}{} && {}".format(*found.groups())
        body.append(line)
    return head + [restore(line) for line in body]


# What Systems Manager takes, and what is kept free of it for the next change.
LIMIT, ROOM = 65536, 1024


def document(name):
    """The most readable form that leaves room."""
    source = lines(f"{name}.sh")
    for form in (lambda: easy(source, True), lambda: easy(source, False), lambda: shrink(source), lambda: shrink(source, True), lambda: renamed(source), lambda: renamed(brief(source))):
        content = written(name, form())
        if len(content.encode()) <= LIMIT - ROOM:
            return content
    sys.exit(f"{name}: {len(content)} bytes, the limit is {LIMIT} less {ROOM} that are kept free")


def written(name, script):
    description, parameters = DOCUMENTS[name]
    used = re.findall(r"\{\{\s*(\w+)\s*\}\}", "\n".join(script))
    if sorted(used) != sorted(parameters):
        sys.exit(f"{name}: parameters used once each must be {sorted(parameters)}, found {sorted(used)}")
    # A line for each parameter and each function.
    compact = lambda value: json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    step = {
        "action": "aws:runShellScript",
        "name": "run_pre_post_scripts",
        "precondition": {"StringEquals": ["platformType", "Linux"]},
        "inputs": {"runCommand": ["SCRIPT"], "timeoutSeconds": 120},
    }
    content = compact({"schemaVersion": "2.2", "description": description, "parameters": "PARAMETERS", "mainSteps": [step]}) + "\n"
    for place, between, items in (
        ('"PARAMETERS"', "{}", [f"{compact(key)}:{compact(value)}" for key, value in parameters.items()]),
        ('["SCRIPT"]', "[]", map(compact, script)),
    ):
        content = content.replace(place, between[0] + "\n" + ",\n".join(items) + "\n" + between[1])
    return content


def main():
    if sys.argv[1:2] == ["--plain"]:
        # What shrinking must not change.
        print("\n".join(lines(f"{sys.argv[2]}.sh")))
        return
    if sys.argv[1:2] == ["--names"]:
        for long, short in sorted(short_names(lines(f"{sys.argv[2]}.sh")).items()):
            print(short, long)
        return
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
