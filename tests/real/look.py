#!/usr/bin/python3
# What a command of an instance can reach: every mount, every device node, and everything that /proc leads to, with the device on which it
# lies. It looks and changes nothing, but for the attempts at the end that must be refused.
import glob
import json
import os
import stat
import subprocess


def tell(event, **what):
    print("FF1 " + json.dumps({"t": event, **what}))


def number(device):
    return f"{os.major(device)}:{os.minor(device)}"


with open("/proc/self/mountinfo") as mounts:
    for line in mounts:
        left, right = line.rstrip().split(" - ")
        tell("mounted", at=left.split()[4], device=left.split()[2], fs=right.split()[0])

reached = {}
for path in glob.glob("/proc/[0-9]*/exe") + glob.glob("/proc/[0-9]*/cwd") + glob.glob("/proc/[0-9]*/root"):
    reached.setdefault(path, path)
for path in glob.glob("/proc/[0-9]*/fd/*") + glob.glob("/proc/[0-9]*/map_files/*"):
    reached.setdefault(path, path)
for above, directories, files in os.walk("/"):
    directories[:] = [name for name in directories if os.path.join(above, name) not in ("/proc", "/sys")]
    reached.setdefault(above, above)
    for name in files if not above.startswith("/usr/") else []:
        reached.setdefault(os.path.join(above, name), None)
devices = {}
for path in reached:
    try:
        here = os.stat(path)
    except OSError:
        continue
    devices.setdefault(number(here.st_dev), path)
    there = os.lstat(path)
    if stat.S_ISBLK(there.st_mode) or stat.S_ISCHR(there.st_mode):
        kind = "block" if stat.S_ISBLK(there.st_mode) else "character"
        tell("node", path=path, kind=kind, device=number(there.st_rdev))
for device, path in devices.items():
    tell("reached", device=device, path=path)

for name in os.listdir("/sys/block"):
    tell("disk", name=name)

# Each sets what is there already: where it is not refused, nothing has changed.
for what, command in {
    "make a node of a disk": ["mknod", "/run/node", "b", "254", "0"],
    "make a node of a character device": ["mknod", "/run/node", "c", "10", "237"],
    "take a loop device": ["losetup", "--find"],
    "set the clock": ["sh", "-c", "date -s @$(date +%s)"],
    "change a kernel setting": ["sh", "-c", "V=$(cat /proc/sys/vm/swappiness) && echo $V >/proc/sys/vm/swappiness"],
    "tell the kernel to rescan": ["sh", "-c", "echo change >/sys/devices/virtual/block/loop0/uevent"],
    "change the network": ["sh", "-c", "ip link set lo mtu $(cat /sys/class/net/lo/mtu)"],
    "mount what fstab names": ["sh", "-c", "mount -a && grep -q . /etc/fstab"],
    "read the machine's passwords": ["cat", "/etc/shadow"],
    "read the machine's own keys": ["sh", "-c", "find /root /home /etc/ssh /etc/ssl/private -type f 2>/dev/null | grep ."],
}.items():
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    tell("attempt", what=what, refused=done.returncode != 0)

# Ours, where it is a namespace of ours.
subprocess.run(["hostname", "renamed-by-a-command"], check=True)
with open("/usr/bin/written-by-a-command", "w") as file:
    file.write("x")
