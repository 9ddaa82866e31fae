#!/usr/bin/env python3
"""A stand-in for mongod, for tests/documents/versions.sh: no MongoDB server can be had, but its real shell can, and this speaks its wire protocol.
Answers have the types that a server gives them (lockCount and pid are 64-bit). Usage: mongo_server.py PORT DBPATH STATE-DIRECTORY"""
import os
import socketserver
import struct
import sys
import threading
import time

PORT, DBPATH, STATE = int(sys.argv[1]), sys.argv[2], sys.argv[3]
LOCK = threading.Lock()
COUNT = 0


class Int64(int):
    pass


class Stamp(int):
    pass


class Date(int):
    pass


def element(name, value):
    key = name.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08" + key + bytes([value])
    if isinstance(value, Stamp):
        return b"\x11" + key + struct.pack("<Q", value)
    if isinstance(value, Date):
        return b"\x09" + key + struct.pack("<q", value)
    if isinstance(value, Int64):
        return b"\x12" + key + struct.pack("<q", value)
    if isinstance(value, int):
        return b"\x10" + key + struct.pack("<i", value)
    if isinstance(value, float):
        return b"\x01" + key + struct.pack("<d", value)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return b"\x02" + key + struct.pack("<i", len(text)) + text
    if isinstance(value, dict):
        return b"\x03" + key + encode(value)
    return b"\x04" + key + encode({str(n): item for n, item in enumerate(value)})


def encode(document):
    body = b"".join(element(name, value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


SIZES = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0xFF: 0, 0x7F: 0}
NUMBERS = {0x01: "<d", 0x10: "<i", 0x12: "<q"}


def decode(data):
    """The first level: names in their order, with numbers, strings and truth; the rest is not needed."""
    found, at = {}, 4
    while data[at]:
        kind, end = data[at], data.index(b"\0", at + 1)
        name, at = data[at + 1 : end].decode(), end + 1
        if kind in SIZES:
            size = SIZES[kind]
        elif kind in (0x03, 0x04):
            size = struct.unpack_from("<i", data, at)[0]
        elif kind == 0x05:
            size = struct.unpack_from("<i", data, at)[0] + 5
        else:
            size = struct.unpack_from("<i", data, at)[0] + 4
        raw = data[at : at + size]
        found[name] = raw[4:-1].decode() if kind == 0x02 else struct.unpack(NUMBERS[kind], raw)[0] if kind in NUMBERS else raw
        at += size
    return found


def note(word):
    with open(f"{STATE}/log", "a") as f:
        f.write(word + "\n")


def hello():
    written = {"opTime": {"ts": Stamp(1700000000 << 32 | 7), "t": Int64(1)}, "lastWriteDate": Date(1700000000000)}
    return {
        "helloOk": True,
        "ismaster": True,
        "isWritablePrimary": True,
        "maxBsonObjectSize": 16777216,
        "maxMessageSizeBytes": 48000000,
        "maxWriteBatchSize": 100000,
        "localTime": Date(int(time.time() * 1000)),
        "minWireVersion": 0,
        "maxWireVersion": 21,
        "readOnly": False,
        "lastWrite": written,
        "ok": 1.0,
    }


def answer(command):
    global COUNT
    word = next(iter(command)).lower()
    if word in ("ismaster", "hello"):
        return hello()
    if word == "buildinfo":
        return {"version": "7.0.5", "versionArray": [7, 0, 5, 0], "gitVersion": "none", "modules": [], "storageEngines": ["wiredTiger"], "ok": 1.0}
    if word == "serverstatus":
        return {"version": "7.0.5", "process": "mongod", "pid": Int64(os.getpid()), "storageEngine": {"name": "wiredTiger"}, "ok": 1.0}
    if word == "getcmdlineopts":
        return {"argv": ["mongod"], "parsed": {"storage": {"dbPath": DBPATH}}, "ok": 1.0}
    with LOCK:
        if word == "fsync" and command.get("lock"):
            if os.path.exists(f"{STATE}/slow"):
                time.sleep(command["maxTimeMS"] / 1000)
                note("refused")
                return {"ok": 0.0, "errmsg": "operation exceeded time limit", "code": 50, "codeName": "MaxTimeMSExpired"}
            COUNT += 1
            note(f"lock {COUNT}")
            return {"info": "now locked against writes, use db.fsyncUnlock() to unlock", "lockCount": Int64(COUNT), "seeAlso": "nowhere", "ok": 1.0}
        if word == "fsyncunlock":
            if COUNT == 0:
                note("unlock refused")
                return {"ok": 0.0, "errmsg": "fsyncUnlock called when not locked", "code": 20, "codeName": "IllegalOperation"}
            COUNT -= 1
            note(f"unlock {COUNT}")
            return {"info": "fsyncUnlock completed", "lockCount": Int64(COUNT), "ok": 1.0}
        if word == "currentop":
            held = {"fsyncLock": True, "info": "use db.fsyncUnlock() to terminate the fsync write/snapshot lock"} if COUNT else {}
            return {"inprog": [], **held, "ok": 1.0}
    if word in ("ping", "endsessions"):
        return {"ok": 1.0}
    return {"ok": 0.0, "errmsg": f"no such command: '{word}'", "code": 59, "codeName": "CommandNotFound"}


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        while len(head := self.rfile.read(16)) == 16:
            size, request, _, kind = struct.unpack("<iiii", head)
            body = self.rfile.read(size - 16)
            if kind == 2013:
                # flag bits, then the one section that this shell sends
                reply = struct.pack("<I", 0) + b"\0" + encode(answer(decode(body[5:])))
                back = 2013
            elif kind == 2004:
                # flags, collection, skip, limit, and the query
                reply = struct.pack("<iqii", 8, 0, 0, 1) + encode(answer(decode(body[body.index(b"\0", 4) + 9 :])))
                back = 1
            else:
                return
            self.wfile.write(struct.pack("<iiii", 16 + len(reply), 0, request, back) + reply)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server(("127.0.0.1", PORT), Connection) as server:
    with open(f"{DBPATH}/mongod.lock", "w") as f:
        f.write(f"{os.getpid()}\n")
    server.serve_forever()
