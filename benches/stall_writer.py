"""Write 512 bytes and fdatasync, over and over, to argv[1] until argv[2] exists; print the longest time one of them took, in microseconds."""
import os
import sys
import time

fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600)
block = b"x" * 512
longest = 0
# The first ones pay for the new file.
for _ in range(50):
    os.pwrite(fd, block, 0)
    os.fdatasync(fd)
open(sys.argv[2] + ".ready", "w").close()
n = 0
while n % 16 or not os.path.exists(sys.argv[2]):
    start = time.monotonic_ns()
    os.pwrite(fd, block, 512 * (n % 128))
    os.fdatasync(fd)
    longest = max(longest, time.monotonic_ns() - start)
    n += 1
print(longest // 1000)
