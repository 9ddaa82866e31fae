"""Passes connections on: proxy.py FROM TO, each a socket's path."""
import os
import socket
import sys
import threading


def pump(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
if len(sys.argv) > 3:
    os.chown(sys.argv[1], int(sys.argv[3]), int(sys.argv[3]))
listener.listen()
while True:
    near, _ = listener.accept()
    far = socket.socket(socket.AF_UNIX)
    far.connect(sys.argv[2])
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
