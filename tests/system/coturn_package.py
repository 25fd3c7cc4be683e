"""coturn's tools out of Debian's package, without installing it: that would start a daemon."""

import shutil
import subprocess


def unpack(folder):
    """The folder of turnutils_uclient, turnutils_peer and the others."""
    done = subprocess.run(["apt-get", "download", "coturn"], cwd=folder, capture_output=True,
                          text=True, check=False)
    packages = list(folder.glob("coturn_*.deb"))
    if done.returncode != 0 or not packages:
        raise AssertionError(f"coturn's package cannot be had: {done.stderr}")
    subprocess.run(["dpkg", "-x", packages[0], folder / "root"], check=True)
    assert shutil.which(str(folder / "root/usr/bin/turnutils_uclient"))
    return folder / "root/usr/bin"
