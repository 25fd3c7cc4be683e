"""The store's key wrapped by a TPM 2.0 (swtpm) on the signed image: it takes over when the HSM is
switched off, opens the store at the next start, and no other TPM does; the recovery password that
was given to the HSM brings all configuration back."""

import re

import pytest

import hsm_site
import qemu
import softhsm
import test_tpm

RECOVERY = "tortoise-lantern-42"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("s")


class Run:
    """The machine started once, with the TPM of that name."""

    site = None

    def __init__(self, folder, name):
        self.folder, self.name = folder, name

    def __enter__(self):
        self.tpm = test_tpm.tpm(self.folder / self.name)
        socket = self.tpm.__enter__()
        if Run.site is None:
            Run.site = hsm_site.Site("image", self.folder, tpm=socket)
            Run.site.__enter__()
        else:
            Run.site.machine.tpm = socket
            Run.site.machine.start()
        return Run.site

    def __exit__(self, *trace):
        Run.site.machine.stop()
        self.tpm.__exit__(*trace)


@pytest.fixture(scope="module", autouse=True)
def end_of_site():
    yield
    if Run.site is not None:
        Run.site.__exit__()
        Run.site = None


def test_the_tpm_takes_over_when_the_hsm_is_switched_off(folder):
    with Run(folder, "one") as site:
        assert "tpm: ready" in site.machine.console
        assert "Store key: not wrapped" in site.ask("xStatus HSM")
        with softhsm.SoftHsm(folder / "hsm", site.token):
            site.add_local_module()
            site.wait_for("xStatus HSM", "Server running: True", qemu.patience(20))
            assert "wrapped by the HSM" in site.ask(f"xCommand HSM StoreKey Wrap: {RECOVERY}")
            assert "Store key: wrapped by the HSM" in site.ask("xStatus HSM")
            assert "successfully updated" in site.ask("xCommand HSM Mode Set: Off")
            site.wait_for("xStatus HSM", "Store key: wrapped by the TPM", qemu.patience(10))
    with Run(folder, "one") as site:
        site.machine.expect(r"Store: its key was opened by the TPM", timeout=60)
        site.log_in()
        status = site.ask("xStatus HSM")
        assert "Store key: wrapped by the TPM" in status and "rack1" in status, status


def test_another_tpm_opens_nothing_and_the_recovery_password_all(folder):
    with Run(folder, "two") as site:
        site.machine.expect(r"Store: CLOSED. Its key is wrapped by the TPM: it was sealed by "
                            r"another", timeout=60)
        site.set_up()
        assert "rack1" not in site.ask("xStatus HSM")
        assert "The store's key cannot be opened" in site.ask("xStatus Alarm")
        refused = site.ask("xCommand HSM StoreKey Recover: tortoise-lantern-43")
        assert "not the recovery password" in refused, refused
        assert "is recovered" in site.ask(f"xCommand HSM StoreKey Recover: {RECOVERY}")
    with Run(folder, "two") as site:
        site.log_in()
        status = site.ask("xStatus HSM")
        assert "Store key: not wrapped" in status and "rack1" in status, status
        assert "at least 12" in site.ask("xCommand TPM StoreKey Wrap: short")
        said = site.ask(f"xCommand TPM StoreKey Wrap: {RECOVERY}")
        assert "wrapped by the TPM" in said, said
        assert re.search(r"Store key: wrapped by the TPM", site.ask("xStatus HSM"))
        assert "wrapped by nobody" in site.ask("xCommand TPM StoreKey Unwrap")
        assert "Store key: not wrapped" in site.ask("xStatus HSM")
