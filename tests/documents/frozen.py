"""Is the filesystem at argv[1] frozen? Exit 0 yes, 1 no. Never blocks: a reconfigure without changes answers EBUSY on a frozen one."""
import ctypes
import errno
import sys

libc = ctypes.CDLL(None, use_errno=True)
FSPICK, FSCONFIG, RECONFIGURE = 433, 431, 7
fd = libc.syscall(FSPICK, -100, sys.argv[1].encode(), 0)
if fd < 0:
    sys.exit(f"fspick: {errno.errorcode[ctypes.get_errno()]}")
if libc.syscall(FSCONFIG, fd, RECONFIGURE, None, None, 0) == 0:
    sys.exit(1)
number = ctypes.get_errno()
sys.exit(0 if number == errno.EBUSY else f"fsconfig: {errno.errorcode[number]}")
