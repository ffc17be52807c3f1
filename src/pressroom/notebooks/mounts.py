"""Which mount an open file lies on."""

import os


def mount_of(fd: int) -> str:
    """What identifies the mount that an open file lies on: the kernel's mount id, elsewhere the device (also on Linux
    before 5.14, to a thread that acts as an account)."""
    try:
        info = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return str(os.fstat(fd).st_dev)
    try:
        lines = os.read(info, 4096).decode().splitlines()
    finally:
        os.close(info)
    return next(line for line in lines if line.startswith("mnt_id"))
