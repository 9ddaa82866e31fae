"""A process that stands for a server: it listens on a port of the loopback device, keeps its lock file open and its number in it. listen.py PORT FILE"""
import os
import signal
import socket
import sys

listener = socket.socket()
# Other runs at the same time have one of their own.
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
lock = open(sys.argv[2], "w")
print(os.getpid(), file=lock, flush=True)
signal.pause()
