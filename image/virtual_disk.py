"""Disks for hypervisors, made of a raw disk image with qemu-img: QCOW2, VMDK, and an OVA bundle.

The bundle is a tar of an OVF 1.1 description, a SHA-256 manifest of it all, and a stream-optimised
VMDK. It is honest about what Gatehouse drives: virtio disk and network alone, UEFI firmware, a
serial console. A hypervisor without virtio (VMware ESXi) cannot run it, and the OVF says so.
The same image gives the same bytes: times and identities come from the image, not from the clock.
"""

import hashlib
import io
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tarfile
from xml.sax.saxutils import escape

CPUS = 2
MEMORY_MIB = 1024
FORMATS = {"qcow2": [], "vmdk": ["-o", "subformat=streamOptimized"]}
VMDK_SECTOR = 512
VMDK_DESCRIPTION = slice(28, 44)  # in the header: its first sector and how many
VMDK_DESCRIPTION_MAX = 64 * 1024
COPY_SIZE = 1 << 20


class Failure(Exception):
    """One line for the operator."""


def make(kind, raw, output):
    """Makes `output` from the raw disk `raw`, by way of a file beside it."""
    part = output.with_name(output.name + ".part")
    try:
        if kind == "ova":
            make_bundle(raw, part, output.name.removesuffix(".ova"))
        else:
            make_disk(kind, raw, part)
        os.replace(part, output)
    finally:
        part.unlink(missing_ok=True)


def qemu_img(*words):
    if not shutil.which("qemu-img"):
        raise Failure("qemu-img is missing: install qemu-utils")
    done = subprocess.run(["qemu-img", *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"qemu-img {words[0]}: {(done.stderr or done.stdout).strip()}")


def make_disk(kind, raw, output):
    qemu_img("convert", "-q", "-f", "raw", "-O", kind, *FORMATS[kind], raw, output)
    if kind == "vmdk":
        settle_identity(raw, output)
    qemu_img("compare", "-q", "-f", "raw", "-F", kind, raw, output)


def settle_identity(raw, vmdk):
    """qemu-img draws the content id by lot; here it is the content's.

    The lot's id is written without leading zeros, and written twice: what follows it moves, and a
    longer first one leaves its tail behind. So the description's sectors are written anew, whole.
    """
    content = int.from_bytes(bytes.fromhex(sha256(raw))[:4], "big") & 0x7FFFFFFE
    with open(vmdk, "r+b") as file:
        first, count = struct.unpack("<QQ", file.read(VMDK_SECTOR)[VMDK_DESCRIPTION])
        file.seek(first * VMDK_SECTOR)
        area = file.read(min(count * VMDK_SECTOR, VMDK_DESCRIPTION_MAX))
        text, found = re.subn(rb"\nCID=[0-9a-f]{1,8}\n", b"\nCID=%08x\n" % content,
                              area.partition(b"\0")[0])
        if found != 1 or len(text) > len(area):
            raise Failure("the VMDK has no content id where one was expected")
        file.seek(first * VMDK_SECTOR)
        file.write(text.ljust(len(area), b"\0"))


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_bundle(raw, output, name):
    name = re.sub(r"[^\w.-]", "-", name) or "gatehouse"
    disk = output.with_name(output.name + ".vmdk")
    try:
        make_disk("vmdk", raw, disk)
        capacity, size = os.stat(raw).st_size, os.stat(disk).st_size
        ovf = describe(name, capacity, size).encode()
        manifest = (f"SHA256({name}.ovf)= {hashlib.sha256(ovf).hexdigest()}\n"
                    f"SHA256({name}-disk1.vmdk)= {sha256(disk)}\n").encode()
        with tarfile.open(output, "w", format=tarfile.USTAR_FORMAT) as tar:
            # The description first: readers stream it.
            add(tar, f"{name}.ovf", io.BytesIO(ovf), len(ovf))
            add(tar, f"{name}.mf", io.BytesIO(manifest), len(manifest))
            with open(disk, "rb") as file:
                add(tar, f"{name}-disk1.vmdk", file, size)
    finally:
        disk.unlink(missing_ok=True)


def add(tar, name, file, size):
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o644, 0
    tar.addfile(member, file)


NEEDS = """Gatehouse drives virtio devices only: a virtio block disk and virtio network \
adapters. It needs UEFI firmware and is managed over its first serial port. Hypervisors with \
virtio: KVM with libvirt, Proxmox VE, oVirt, OpenStack. When importing, choose virtio block for \
the disk, virtio for each network adapter, UEFI (OVMF) as firmware, and add a serial port and an \
entropy device (virtio-rng). Hypervisors without virtio, such as VMware ESXi and Hyper-V, cannot \
run it."""


def item(number, kind, name, *lines):
    """One hardware item; OVF wants its elements in alphabetical order."""
    fields = {"rasd:ElementName": name, "rasd:InstanceID": number, "rasd:ResourceType": kind}
    fields.update(dict(lines))
    text = "".join(f"        <{tag}>{escape(str(fields[tag]))}</{tag}>\n"
                   for tag in sorted(fields))
    return f"      <Item>\n{text}      </Item>\n"


def hardware():
    return "".join([
        item(1, 3, f"{CPUS} virtual CPUs", ("rasd:AllocationUnits", "hertz * 10^6"),
             ("rasd:VirtualQuantity", CPUS)),
        item(2, 4, f"{MEMORY_MIB} MiB of memory", ("rasd:AllocationUnits", "byte * 2^20"),
             ("rasd:VirtualQuantity", MEMORY_MIB)),
        item(3, 20, "virtio block controller", ("rasd:Address", 0),
             ("rasd:ResourceSubType", "virtio")),
        item(4, 17, "disk", ("rasd:AddressOnParent", 0),
             ("rasd:HostResource", "ovf:/disk/disk1"), ("rasd:Parent", 3)),
        item(5, 10, "virtio network adapter", ("rasd:AddressOnParent", 1),
             ("rasd:AutomaticAllocation", "true"), ("rasd:Connection", "LAN"),
             ("rasd:ResourceSubType", "virtio")),
        item(6, 21, "serial port 1, the console", ("rasd:AutomaticAllocation", "true")),
    ])


def describe(name, capacity, size):
    """The OVF description (DSP0243 1.1)."""
    title = escape(name)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
    xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
    xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:id="file1" ovf:href="{title}-disk1.vmdk" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>One disk: partition table, loader, two slots, golden image, store and log</Info>
    <Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="{capacity}"
        ovf:capacityAllocationUnits="byte" ovf:format=\
"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>The network it serves</Info>
    <Network ovf:name="LAN"><Description>The network it serves</Description></Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{title}">
    <Info>Gatehouse communications edge</Info>
    <Name>{title}</Name>
    <AnnotationSection>
      <Info>What this machine needs of its hypervisor</Info>
      <Annotation>{escape(NEEDS)}</Annotation>
    </AnnotationSection>
    <OperatingSystemSection ovf:id="102">
      <Info>No general-purpose operating system: one image for the bare machine</Info>
      <Description>Other (64-bit)</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>UEFI, virtio disk and network, serial console</Info>
      <System>
        <vssd:ElementName>Virtual hardware</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{title}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>kvm</vssd:VirtualSystemType>
      </System>
{hardware()}      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""
