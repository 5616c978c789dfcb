"""A real cloud controller with machines, images, keys and tags in it; and for each parameter of each operation a request that
shows what it does.  One world is prepared and copied."""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import re
import sys
from pathlib import Path

from lxml import etree

from euca_ec2.endpoint import Endpoint, _Trail
from euca_ec2.errors import code_of
from euca_ec2.request import Request
from euca_ec2.settings import Ec2Settings
from euca_ec2.signing import Verified
from euca_rpc.carrier import Answer
from euca_rpc.cloud import accounts, images, nodes
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.errors import EucaError
from euca_rpc.machines import MachineReport, NodeReport
from euca_rpc.steps import waited
from euca_rpc.types import Caller, LaunchRequest, Size, VmType, Zone
from euca_rpc.wire.codec import pack
from euca_rpc.wire.contracts import CLUSTER, object_name

ROOT = Path(__file__).resolve().parents[3]
VERSION = "2016-11-15"
ZONES = ("east", "north", "open", "south", "up", "west")
REQUEST = Request("POST", "/", "", (("host", "cloud.example"),))
OPENSSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"


def _bench():
    """The cloud controller of the core's own tests."""
    name = "euca_cloud_bench"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "unit" / "cloud" / "conftest.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


class Placer(_bench().FirstFit):
    """Remembers what policies would be told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def place(self, wanted, cls, view, count_min, count_max, passed=()):
        self.told.append((wanted.service_class, sorted(wanted.hints.items()), wanted.zone))
        return super().place(wanted, cls, view, count_min, count_max)


class World:
    def __init__(self, path: Path) -> None:
        self.bench = _bench().open_bench(path)
        self.bench.cloud.core.instances._placer = self.placer = Placer()
        self.core, self.ann = self.bench.cloud.core, self.bench.caller
        _poll(self.bench, [_report(row) for row in self.bench.view.instances.values()])
        self.bench.carrier.call = self._call
        self.endpoint = Endpoint(self.core, Ec2Settings())
        view = self.bench.view
        self.__dict__.update(self._names(view))

    @staticmethod
    def _names(view):
        rows = sorted(view.instances.values(), key=lambda it: (it.launched_at, it.launch_index, it.id))
        kinds = {it.kind: it.id for it in view.images.values() if it.id != "emi-00000001"}
        names = {name.partition("/")[2]: id for name, id in view.key_names.items()}
        bob = next((it for it in view.users.values() if it.name == "bob"), None)
        return {
            "running": next((it.id for it in rows if it.seen == "running"), ""),
            "stopped": next((it.id for it in rows if it.seen == "stopped"), ""),
            "kernel": kinds.get("kernel", ""),
            "ramdisk": kinds.get("ramdisk", ""),
            "image": kinds.get("machine", ""),
            "key": names.get("one", ""),
            "bob": accounts.caller_for(bob) if bob else None,
        }

    def _call(self, peer, method, args, on_answer) -> None:
        if method == "console":
            on_answer(Answer({"text": b"login:", "at": self.bench.clock.now()}, None))

    def close(self) -> None:
        self.bench.cloud.store.close()

    def ask(self, action, parameters, caller: Caller | None = None, version=VERSION):
        """Code and answer, as a client would get them after its signature was verified."""
        given = {"Action": action, "Version": version, **parameters}
        verified = Verified(caller or self.ann, "AK", given, b"signature")
        try:
            answer = waited(self.endpoint._perform(REQUEST, verified, "request-1", _Trail()))
        except EucaError as error:
            return code_of(error)[0], error.sentence
        return "200", answer.decode()

    def outcome(self, action, parameters):
        answer = self.ask(action, parameters)
        view = self.bench.view
        tables = (view.instances, view.reservations, view.images, view.keys, view.tag_rows, view.tokens)
        state = [[dataclasses.asdict(table[id]) for id in sorted(table)] for table in tables]
        return _masked(answer), _masked(repr(state)), list(self.placer.told)


def _masked(what):
    """Private keys are drawn from the operating system, and all that follows from them."""
    if isinstance(what, tuple):
        return tuple(map(_masked, what))
    what = re.sub(r"(BEGIN [A-Z ]+-----).*?(-----END)", r"\1\2", what, flags=re.DOTALL)
    what = re.sub(r"ssh-rsa [A-Za-z0-9+/=]+", "ssh-rsa", what)
    what = re.sub(r"(ssh-ed25519) (?!AAAAC3NzaC1lZDI1NTE5AAAAIAABAg)[A-Za-z0-9+/=]+", r"\1", what)
    what = re.sub(r"[0-9a-f]{2}(:[0-9a-f]{2}){15,}", "fingerprint", what)
    what = re.sub(r"SHA256:[A-Za-z0-9+/=]+|<keyFingerprint>[^<]*|'fingerprint': '[^']*'", "fingerprint", what)
    return re.sub(r"NextToken>[^<]*|nextToken>[^<]*", "token", what)


def _report(row):
    return MachineReport(
        row.id,
        row.generation,
        row.reboots,
        str(row.seen),
        row.seen_end,
        "",
        row.private_address,
        row.public_address,
    )


def _poll(bench, machines) -> None:
    """All zones are asked and answer; the machines are in the zone `open`."""
    bench.clock.advance(3_000_000)
    bench.cloud.step()
    for peer, _, _, on_answer in bench.carrier.take("report"):
        zone = next(name for name in ZONES if peer == object_name(CLUSTER, name))
        here = tuple(machines) if zone == "open" else ()
        size = Size(64, 65536, 4000) if zone == "open" else Size(8, 8192, 400)
        told = NodeReport(f"{zone}/h1", "boot-1", "simulated", "x86_64", size, 1, here)
        entry = {
            "heard_at": bench.clock.now(),
            "silent_since": None,
            "trouble": "",
            "version": 1,
            "report": pack(told),
        }
        on_answer(Answer({"zone": zone, "start_id": "s", "roster": True, "nodes": {told.node: entry}}, None))


def prepare(path: Path) -> None:
    bench = _bench().open_bench(path)
    journal, core, admin = bench.cloud.journal, bench.cloud.core, bench.caller
    journal.do(lambda view, now: Outcome((Put(VmType("x1.huge", 1, 4096, 40, 5)),)))
    journal.do(lambda view, now: Outcome(tuple(Put(Zone(name, now)) for name in ZONES)))
    bob = accounts.caller_for(journal.do(accounts.add_user(admin, bench.cloud.ids, "bob")))
    for kind in ("kernel", "ramdisk", "machine"):
        receipt = {"sha256": kind[0] * 64, "bytes": 5, "virtual_bytes": 5, "format": "raw", "kind": kind}
        receipt["architecture"] = "x86_64"
        journal.do(images.add_upload(admin, f"uploads/{kind}", receipt))
    kernel = core.images.register(admin, "uploads/kernel", "vmlinuz").id
    ramdisk = core.images.register(admin, "uploads/ramdisk", "initrd").id
    image = core.images.register(admin, "uploads/machine", "debian", kernel, ramdisk).id
    core.images.permit(admin, image, add=[bob.account_id])
    for id in (kernel, ramdisk):  # who launches the image needs them, too
        core.images.permit(admin, id, add=["all"])
    core.keys.import_(admin, "one", OPENSSH.encode())
    key = core.keys.describe(admin)[0].id
    core.tags.create(admin, [key, image], {"team": "blue"})
    for zone in ZONES:
        journal.do(nodes.add(admin, zone, "h1"))
    _poll(bench, [])
    launched = []
    for count, tags in ((4, (("Name", "web"), ("team", "blue"))), (4, ())):
        bench.clock.advance(1_000_000)
        held = core.instances.launch(
            admin,
            LaunchRequest(image, count, count, key_name="one", zone="open", user_data=b"hello", tags=tags),
        )
        launched += [it.instance.id for it in held.instances]
    bench.cloud.step()
    one = [
        MachineReport(i, 1, 0, "running", private_address="10.0.0.9", public_address="127.1.1.9")
        for i in launched
    ]
    _poll(bench, one)
    core.instances.stop(admin, [launched[5]])
    bench.cloud.step()
    one[5] = MachineReport(launched[5], 1, 0, "stopped", end="asked")
    _poll(bench, one)
    bench.cloud.store.close()


# ------------------------------------------------------------------------------------------------- in few words
COUNTS = {"MinCount": "1", "MaxCount": "1"}
NS = {"e": f"http://ec2.amazonaws.com/doc/{VERSION}/"}


def asked(world, action, caller=None, version=VERSION, **given):
    """The answer's tree; dots are written as two underscores."""
    parameters = {name.replace("__", "."): value for name, value in given.items()}
    code, answer = world.ask(action, parameters, caller, version)
    assert code == "200", answer
    return etree.fromstring(answer.encode())


def refused(world, action, caller=None, **given):
    parameters = {name.replace("__", "."): value for name, value in given.items()}
    return world.ask(action, parameters, caller)


def texts(tree, path):
    return [it.text for it in tree.iterfind("/".join(f"e:{part}" for part in path.split("/")), NS)]


def launched(world, caller=None, **given):
    tree = asked(world, "RunInstances", caller, ImageId=world.image, **COUNTS, **given)
    return texts(tree, "instancesSet/item/instanceId")[0]


# ----------------------------------------------------------------------------------------------- the table
def filtered(name, value):
    return lambda w: {"Filter.1.Name": name, "Filter.1.Value.1": value}


def plus(**given):
    """Dots are written as two underscores."""
    fixed = {name.replace("__", "."): value for name, value in given.items()}
    return lambda w: {name: value(w) if callable(value) else value for name, value in fixed.items()}


def page_after(action, size, **base):
    """The second page against the first."""

    def case(w):
        given = {"MaxResults": str(size), **plus(**base)(w)}
        token = re.search(r"<nextToken>([^<]+)<", w.ask(action, given)[1])[1]
        return given, {**given, "NextToken": token}

    return case


def made_up(w):
    return {"NextToken": "made-up"}


dry = plus(DryRun="true")
running, stopped = (lambda w: w.running), (lambda w: w.stopped)
image, kernel, ramdisk = (lambda w: w.image), (lambda w: w.kernel), (lambda w: w.ramdisk)


def base64_of(text):
    return base64.b64encode(text).decode()


def tagged(kind):
    named = "TagSpecification__1__"
    return plus(**{f"{named}ResourceType": kind, f"{named}Tag__1__Key": "a", f"{named}Tag__1__Value": "b"})


RUN = plus(ImageId=image, MinCount="1", MaxCount="2")


def spot(name, value):
    market = {"InstanceMarketOptions.MarketType": "spot"}
    return lambda w: (market, {**market, f"InstanceMarketOptions.SpotOptions.{name}": value})


@dataclasses.dataclass
class Whole:
    """Two whole requests, where one parameter stands in another's place or needs a second one."""

    without: dict
    added: dict


def alone(first, second):
    return lambda w: Whole(first(w), second(w))


# action → (the request without, {parameter → what is added, or what is given to either})
CASES = {
    "DescribeAvailabilityZones": (plus(), {
        "ZoneName": plus(ZoneName__1="verbose"), "Filter": filtered("zone-name", "?ast"),
        "AllAvailabilityZones": plus(AllAvailabilityZones="true"), "DryRun": dry}),
    "DescribeRegions": (plus(), {
        "RegionName": plus(RegionName__1="mars"), "Filter": filtered("region-name", "x*"),
        "AllRegions": plus(AllRegions="true"), "DryRun": dry}),
    "DescribeInstanceTypes": (plus(), {
        "InstanceType": plus(InstanceType__1="m1.small"), "Filter": filtered("instance-type", "m1.*"),
        "MaxResults": plus(MaxResults="5"), "NextToken": page_after("DescribeInstanceTypes", 5), "DryRun": dry}),
    "DescribeInstanceTypeOfferings": (plus(), {
        "LocationType": plus(LocationType="availability-zone"), "Filter": filtered("instance-type", "m1.*"),
        "MaxResults": plus(MaxResults="5"), "NextToken": page_after("DescribeInstanceTypeOfferings", 5), "DryRun": dry}),
    "DescribeAccountAttributes": (plus(), {"AttributeName": plus(AttributeName__1="default-vpc"), "DryRun": dry}),
    "DescribeImages": (plus(), {
        "ExecutableBy": plus(ExecutableBy__1="all"), "ImageId": plus(ImageId__1=image),
        "Owner": plus(Owner__1="000000000000"), "Filter": filtered("tag:team", "bl*"),
        "IncludeDeprecated": plus(IncludeDeprecated="true"), "IncludeDisabled": plus(IncludeDisabled="true"),
        "MaxResults": plus(MaxResults="1"), "NextToken": page_after("DescribeImages", 1), "DryRun": dry}),
    "RegisterImage": (plus(ImageLocation="uploads/machine"), {
        "ImageLocation": plus(ImageLocation="uploads/kernel"), "Name": plus(Name="another"),
        "Description": plus(Description="words"), "Architecture": plus(Architecture="aarch64"),
        "KernelId": plus(KernelId=kernel), "RamdiskId": plus(RamdiskId=ramdisk),
        "RootDeviceName": plus(RootDeviceName="/dev/sda1"), "VirtualizationType": plus(VirtualizationType="paravirtual"),
        "EnaSupport": plus(EnaSupport="true"), "TagSpecification": tagged("image"), "DryRun": dry}),
    "CreateImage": (plus(InstanceId=running, Name="snap"), {
        "InstanceId": plus(InstanceId=stopped), "Name": plus(Name="another"), "Description": plus(Description="words"),
        "NoReboot": plus(NoReboot="true"),
        "BlockDeviceMapping": plus(BlockDeviceMapping__1__DeviceName="/dev/sdb",
                                   BlockDeviceMapping__1__Ebs__VolumeSize="7"),
        "TagSpecification": tagged("image"), "DryRun": dry}),
    "DeregisterImage": (plus(ImageId=image), {
        "ImageId": plus(ImageId="emi-00000001"), "DeleteAssociatedSnapshots": plus(DeleteAssociatedSnapshots="true"),
        "DryRun": dry}),
    "DisableImage": (plus(ImageId=image), {"ImageId": plus(ImageId="emi-00000001"), "DryRun": dry}),
    "EnableImage": (plus(ImageId=image), {"ImageId": plus(ImageId="emi-0fffffff"), "DryRun": dry}),
    "DescribeImageAttribute": (plus(ImageId=image, Attribute="kernel"), {
        "ImageId": plus(ImageId="emi-00000001"), "Attribute": plus(Attribute="launchPermission"), "DryRun": dry}),
    "ModifyImageAttribute": (plus(ImageId=image, LaunchPermission__Add__1__Group="all"), {
        "ImageId": plus(ImageId="emi-00000001"), "Attribute": plus(Attribute="kernel"),
        "OperationType": alone(
            plus(ImageId=image, OperationType="add", UserId__1=lambda w: w.bob.account_id),
            plus(ImageId=image, OperationType="remove", UserId__1=lambda w: w.bob.account_id)),
        "UserId": alone(plus(ImageId=image, OperationType="add", UserId__1="123456789012"),
                        plus(ImageId=image, OperationType="add", UserId__1="210987654321")),
        "UserGroup": plus(OperationType="remove", UserGroup__1="all"),
        "LaunchPermission.Add": plus(LaunchPermission__Add__2__UserId="123456789012"),
        "LaunchPermission.Remove": plus(LaunchPermission__Remove__1__UserId=lambda w: w.bob.account_id),
        "ProductCode": plus(ProductCode__1="774F4FF8"), "Description.Value": plus(Description__Value="words"),
        "Value": plus(Value="words"), "DryRun": dry}),
    "ResetImageAttribute": (plus(ImageId=image, Attribute="launchPermission"), {
        "ImageId": plus(ImageId="emi-00000001"), "Attribute": plus(Attribute="description"), "DryRun": dry}),
    "CreateKeyPair": (plus(KeyName="new"), {
        "KeyName": plus(KeyName="other"), "KeyType": plus(KeyType="ed25519"), "KeyFormat": plus(KeyFormat="ppk"),
        "TagSpecification": tagged("key-pair"), "DryRun": dry}),
    "ImportKeyPair": (plus(KeyName="new", PublicKeyMaterial=base64_of(OPENSSH.encode())), {
        "KeyName": plus(KeyName="other"), "PublicKeyMaterial": plus(PublicKeyMaterial=base64_of(b"rubbish")),
        "TagSpecification": tagged("key-pair"), "DryRun": dry}),
    "DescribeKeyPairs": (plus(), {
        "KeyName": plus(KeyName__1="none"), "KeyPairId": plus(KeyPairId__1="key-00000000"),
        "Filter": filtered("tag-key", "x*"), "IncludePublicKey": plus(IncludePublicKey="true"), "DryRun": dry}),
    "DeleteKeyPair": (plus(KeyName="none"), {
        "KeyName": plus(KeyName="one"), "KeyPairId": alone(plus(KeyName="none"), plus(KeyPairId=lambda w: w.key)),
        "DryRun": dry}),
    "RunInstances": (RUN, {
        "ImageId": plus(ImageId="emi-00000001"), "MinCount": plus(MinCount="3"), "MaxCount": plus(MaxCount="1"),
        "KeyName": plus(KeyName="one"), "SecurityGroup": plus(SecurityGroup__1="web"),
        "SecurityGroupId": plus(SecurityGroupId__1="sg-00000000"), "AdditionalInfo": plus(AdditionalInfo="deadline=soon"),
        "UserData": plus(UserData=base64_of(b"words")), "AddressingType": plus(AddressingType="direct"),
        "InstanceType": plus(InstanceType="m1.large"), "Placement.AvailabilityZone": plus(Placement__AvailabilityZone="west"),
        "Placement.GroupName": plus(Placement__GroupName="near"), "Placement.Tenancy": plus(Placement__Tenancy="dedicated"),
        "KernelId": plus(KernelId="eki-00000000"), "RamdiskId": plus(RamdiskId="eri-00000000"),
        "Monitoring.Enabled": plus(Monitoring__Enabled="true"), "DisableApiTermination": plus(DisableApiTermination="true"),
        "InstanceInitiatedShutdownBehavior": plus(InstanceInitiatedShutdownBehavior="stop"),
        "SubnetId": plus(SubnetId=lambda w: re.search(
            "<subnetId>(subnet-[0-9a-f]+)<", w.ask("DescribeSubnets", filtered("availability-zone", "west")(w))[1])[1]),
        "ClientToken": plus(ClientToken="once"), "EbsOptimized": plus(EbsOptimized="true"),
        "InstanceMarketOptions.MarketType": plus(InstanceMarketOptions__MarketType="spot"),
        "InstanceMarketOptions.SpotOptions.MaxPrice": spot("MaxPrice", "0.25"),
        "InstanceMarketOptions.SpotOptions.SpotInstanceType": spot("SpotInstanceType", "persistent"),
        "InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior": spot("InstanceInterruptionBehavior", "stop"),
        "TagSpecification": tagged("instance"), "DryRun": dry}),
    "DescribeInstances": (plus(), {
        "InstanceId": plus(InstanceId__1=running), "Filter": filtered("tag:Name", "w?b"),
        "MaxResults": plus(MaxResults="5"), "NextToken": page_after("DescribeInstances", 5),
        "IncludeManagedResources": plus(IncludeManagedResources="true"), "DryRun": dry}),
    "DescribeInstanceStatus": (plus(), {
        "InstanceId": plus(InstanceId__1=running), "Filter": filtered("tag:Name", "w?b"),
        "MaxResults": plus(MaxResults="5"), "NextToken": page_after("DescribeInstanceStatus", 5),
        "IncludeAllInstances": plus(IncludeAllInstances="true"),
        "IncludeManagedResources": plus(IncludeManagedResources="true"), "DryRun": dry}),
    "TerminateInstances": (plus(InstanceId__1=running), {
        "InstanceId": plus(InstanceId__2=stopped), "Force": plus(Force="true"), "SkipOsShutdown": plus(SkipOsShutdown="true"),
        "DryRun": dry}),
    "RebootInstances": (plus(InstanceId__1=running), {"InstanceId": plus(InstanceId__2=stopped), "DryRun": dry}),
    "StopInstances": (plus(InstanceId__1=running), {
        "InstanceId": plus(InstanceId__2="i-00000000"), "Force": plus(Force="true"), "SkipOsShutdown": plus(SkipOsShutdown="true"),
        "Hibernate": plus(Hibernate="true"), "DryRun": dry}),
    "StartInstances": (plus(InstanceId__1=stopped), {
        "InstanceId": plus(InstanceId__2="i-00000000"), "AdditionalInfo": plus(AdditionalInfo="words"), "DryRun": dry}),
    "GetConsoleOutput": (plus(InstanceId=running), {
        "InstanceId": plus(InstanceId="i-00000000"), "Latest": plus(Latest="true"), "DryRun": dry}),
    "DescribeInstanceAttribute": (plus(InstanceId=running, Attribute="instanceType"), {
        "InstanceId": plus(InstanceId=stopped), "Attribute": plus(Attribute="userData"), "DryRun": dry}),
    "ModifyInstanceAttribute": (plus(InstanceId=stopped, InstanceType__Value="m1.large"), {
        "InstanceId": plus(InstanceId=running),
        "Attribute": alone(plus(InstanceId=stopped, Attribute="instanceType", Value="m1.large"),
                           plus(InstanceId=stopped, Attribute="userData", Value="m1.large")),
        "Value": alone(plus(InstanceId=stopped, Attribute="instanceType", Value="m1.large"),
                       plus(InstanceId=stopped, Attribute="instanceType", Value="c1.medium")),
        "InstanceType.Value": plus(InstanceType__Value="c1.medium"),
        **{f"{name}.Value": alone(plus(InstanceId=stopped, SourceDestCheck__Value="true"),
                                  plus(**{"InstanceId": stopped, f"{name}__Value": value}))
           for name, value in (("Kernel", "eki-00000000"), ("Ramdisk", "eri-00000000"), ("UserData", base64_of(b"new")),
                               ("DisableApiTermination", "true"), ("InstanceInitiatedShutdownBehavior", "stop"),
                               ("SourceDestCheck", "false"), ("EbsOptimized", "true"))},
        "GroupId": alone(plus(InstanceId=stopped, GroupId__1="default"), plus(InstanceId=stopped, GroupId__1="web")),
        "DryRun": dry}),
    "ResetInstanceAttribute": (plus(InstanceId=stopped, Attribute="kernel"), {
        "InstanceId": plus(InstanceId=running), "Attribute": plus(Attribute="sourceDestCheck"), "DryRun": dry}),
    "CreateTags": (plus(ResourceId__1=running, Tag__1__Key="a", Tag__1__Value="b"), {
        "ResourceId": plus(ResourceId__2=stopped), "Tag": plus(Tag__2__Key="c"), "DryRun": dry}),
    "DeleteTags": (plus(ResourceId__1=running), {
        "ResourceId": plus(ResourceId__2=image), "Tag": plus(Tag__1__Key="Name"), "DryRun": dry}),
    "DescribeTags": (plus(), {
        "Filter": filtered("resource-type", "im*"), "MaxResults": plus(MaxResults="5"),
        "NextToken": page_after("DescribeTags", 5), "DryRun": dry}),
    "DescribeVpcs": (plus(), {
        "VpcId": plus(VpcId__1="vpc-00000000"), "Filter": filtered("is-default", "false"), "MaxResults": plus(MaxResults="1"),
        "NextToken": made_up, "DryRun": dry}),
    "DescribeSubnets": (plus(), {
        "SubnetId": plus(SubnetId__1="subnet-00000000"), "Filter": filtered("availability-zone", "*st"),
        "MaxResults": plus(MaxResults="5"), "NextToken": page_after("DescribeSubnets", 5), "DryRun": dry}),
    "DescribeSecurityGroups": (plus(), {
        "GroupName": plus(GroupName__1="web"), "GroupId": plus(GroupId__1="sg-00000000"), "Filter": filtered("group-name", "w*"),
        "MaxResults": plus(MaxResults="1"), "NextToken": made_up, "DryRun": dry}),
    "DescribeAddresses": (plus(), {
        "PublicIp": plus(PublicIp__1="127.0.0.1"), "AllocationId": plus(AllocationId__1="eipalloc-1"),
        "Filter": filtered("colour", "red"), "DryRun": dry}),
    "DescribeVolumes": (plus(), {
        "VolumeId": plus(VolumeId__1="vol-00000000"), "Filter": filtered("colour", "red"), "MaxResults": plus(MaxResults="1"),
        "NextToken": made_up, "DryRun": dry}),
    "DescribeSnapshots": (plus(), {
        "SnapshotId": plus(SnapshotId__1="snap-00000000"), "Owner": plus(Owner__1="self"),
        "RestorableBy": plus(RestorableBy__1="self"), "Filter": filtered("colour", "red"), "MaxResults": plus(MaxResults="1"),
        "NextToken": made_up, "DryRun": dry}),
}  # fmt: skip
