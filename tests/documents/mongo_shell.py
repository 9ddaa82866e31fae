#!/usr/bin/env python3
"""A stand-in for mongosh, for tests/documents/mongodb.sh: no MongoDB can be installed here. It understands the words that the document says,
prints a prompt as mongosh does, and keeps the server's state in files of MONGO_STATE's place (a line in its own source, set by the test)."""
import os
import re
import sys
import time

STATE = "@STATE@"


def state(name, default=""):
    try:
        with open(f"{STATE}/{name}") as f:
            return f.read().strip()
    except FileNotFoundError:
        return default


def put(name, value):
    with open(f"{STATE}/{name}", "w") as f:
        f.write(str(value))


def say(words):
    print(f"test> freezeframe said {words}", flush=True)


def unlock():
    if state("hold"):
        put("held", "yes")
    while state("hold"):
        time.sleep(0.05)
    count = int(state("count", "0"))
    if count == 0:
        return say("count none fsyncUnlock called when not locked")
    put("count", count - 1)
    say(f"count {count - 1}")


def main():
    with open(f"{STATE}/argv", "a") as f:
        f.write(" ".join(sys.argv) + "\n")
    done = False
    logged_in = state("password") == ""
    for line in sys.stdin:
        line = line.strip()
        if mark := re.fullmatch(r"print\('(freezeframe mark \d+)'\);", line):
            print(f"test> {mark.group(1)}", flush=True)
        elif login := re.search(r'\.auth\("(.*)", "(.*)"\)', line):
            logged_in = login.group(2).replace('\\"', '"') == state("password")
            say(f"login {1 if logged_in else 0}")
        elif line == "ffDone = true;":
            done = True
        elif line.startswith("ff") and not logged_in:
            say("error Unauthorized command requires authentication")
        elif line == "ffFacts();":
            say(state("facts"))
        elif lock := re.fullmatch(r"ffLock\((\d+)\);", line):
            if state("slow"):
                say("error MaxTimeMSExpired operation exceeded time limit")
            else:
                put("count", int(state("count", "0")) + 1)
                put("locks", int(state("locks", "0")) + 1)
                say(f"count {state('count')}")
        elif line == "ffHeld();":
            say(f"held {'true' if int(state('count', '0')) > 0 else 'false'}")
        elif line == "ffTime();":
            say("optime 1700000000.7")
        elif line == "ffUnlock();":
            unlock()
            done = True
        elif line == "ffEnd();" and not done:
            unlock()
            put("ended", "by itself")


main()
