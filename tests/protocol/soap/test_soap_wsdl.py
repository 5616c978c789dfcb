"""All operations by SOAP in every generation: requests made from Amazon's schemas are read whole, answers are valid."""

from __future__ import annotations

import dataclasses

import pytest
from lxml import etree
from soap_letters import NS, compose
from soap_scene import SHARED, genuine

from euca_ec2.fields import TEXTS
from euca_ec2.operations import ACTIONS
from euca_ec2.soap_parsing import reader, soap_name
from euca_rpc.errors import EucaError

WSDLS = sorted((SHARED / "wsdl").glob("*.wsdl"))
if not WSDLS:
    pytest.skip("the shared WSDLs are not beside this checkout", allow_module_level=True)

XS = "{http://www.w3.org/2001/XMLSchema}"
# What a request may say that this cloud cannot do; it is refused by name.
NOT_DONE = {
    "RunInstances/license", "RunInstances/privateIpAddress", "RunInstances/blockDeviceMapping",
    "CreateImage/blockDeviceMapping", "RegisterImage/blockDeviceMapping", "ModifyInstanceAttribute/blockDeviceMapping",
}  # fmt: skip


class Schema:
    def __init__(self, path) -> None:
        self.version = path.name[:10]
        self.namespace = f"http://ec2.amazonaws.com/doc/{self.version}/"
        root = etree.parse(path).find(f".//{XS}schema")
        self.validator = etree.XMLSchema(etree.fromstring(etree.tostring(root)))
        self.elements = {it.get("name"): it.get("type").split(":")[1] for it in root.findall(f"{XS}element")}
        self.types = {it.get("name"): it for it in root.findall(f"{XS}complexType")}
        self.groups = {it.get("name"): it for it in root.findall(f"{XS}group")}

    def leaves(self, type_name, path=()):
        """Paths to all elements that hold a value, or nothing at all."""
        for node in self.types[type_name].iter(f"{XS}element", f"{XS}group"):
            if node.tag == f"{XS}group":
                inside = self.groups[node.get("ref").split(":")[1]].iter(f"{XS}element")
            else:
                inside = [node]
            for element in inside:
                name, kind = element.get("name"), (element.get("type") or "").split(":")[-1]
                if kind in self.types and list(self.types[kind].iter(f"{XS}element")):
                    yield from self.leaves(kind, (*path, name))
                else:
                    yield (*path, name), kind

    def element(self, action, path, value):
        root = at = etree.Element(f"{{{self.namespace}}}{action}", nsmap={"e": self.namespace})
        for name in path:
            at = etree.SubElement(at, f"{{{self.namespace}}}{name}")
        at.text = value
        return root


SCHEMAS = {path.name[:10]: Schema(path) for path in WSDLS}
VALUES = {
    "EmptyElementType": "",
    "int": "1",
    "integer": "1",
    "boolean": "true",
    "dateTime": "2026-11-22T08:00:00Z",
}


@pytest.mark.parametrize("version", SCHEMAS)
def test_every_element_of_every_request_is_read(version):
    schema, read = SCHEMAS[version], 0
    for action, type_name in schema.elements.items():
        if action not in ACTIONS:
            continue
        for path, kind in schema.leaves(type_name):
            where = "/".join((action, *(name for name in path if name != "item")))
            if any(where.startswith(it) for it in NOT_DONE):
                continue
            refused = ""
            try:
                reader(ACTIONS[action].request)(schema.element(action, path, VALUES.get(kind, "YWJj")))
            except EucaError as error:
                refused = error.symbol
            assert refused in ("", "parameter_missing"), where
            read += 1
    assert read >= 15


@pytest.mark.parametrize("version", SCHEMAS)
def test_what_is_not_done_is_refused_by_name(version):
    schema = SCHEMAS[version]
    for path, kind in schema.leaves(schema.elements["RunInstances"]):
        element = schema.element("RunInstances", path, VALUES.get(kind, "x"))
        if path[0] in ("license", "privateIpAddress") and "RunInstances/" + path[0] in NOT_DONE:
            with pytest.raises(EucaError, match=f"The element {path[0]} is not recognized"):
                reader(ACTIONS["RunInstances"].request)(element)


def test_no_two_fields_of_a_message_are_spelt_alike():
    for name, action in ACTIONS.items():
        spelt = [soap_name(it.metadata["wire"]) for it in dataclasses.fields(action.request)]
        spelt = [it.partition("/")[0] if w.metadata["wire"].kind == TEXTS else it
                 for it, w in zip(spelt, dataclasses.fields(action.request), strict=True) if it]  # fmt: skip
        assert len(spelt) == len(set(spelt)), name


# ----------------------------------------------------------------------------------------------------- answers
def items(tag, name, *values):
    inside = "".join(f"<item><{name}>{value}</{name}></item>" for value in values)
    return f"<{tag}>{inside}</{tag}>"


CALLS = [
    ("DescribeAvailabilityZones", items("availabilityZoneSet", "zoneName")),
    ("DescribeAvailabilityZones", items("availabilityZoneSet", "zoneName", "verbose")),
    ("DescribeRegions", "<regionSet/>"),
    ("DescribeImages", "<imagesSet/>"),
    ("DescribeImages", items("executableBySet", "user", "all") + items("imagesSet", "imageId", "emi-12345678") + "<ownersSet/>"),
    ("CreateKeyPair", "<keyName>one</keyName>"),
    ("ImportKeyPair", "<keyName>two</keyName><publicKeyMaterial>c3NoLXJzYSBBQUFB</publicKeyMaterial>"),
    ("DescribeKeyPairs", items("keySet", "keyName", "one")),
    ("RunInstances", "<imageId>emi-12345678</imageId><minCount>2</minCount><maxCount>2</maxCount><keyName>one</keyName>"
     + items("groupSet", "groupId", "default") + '<userData version="1.0" encoding="base64"><data>YWJj</data></userData>'
     "<instanceType>m1.small</instanceType>"),
    ("DescribeInstances", "<instancesSet/>"),
    ("settle", ""),
    ("DescribeInstances", items("instancesSet", "instanceId", "*")),
    ("GetConsoleOutput", "<instanceId>*</instanceId>"),
    ("RebootInstances", items("instancesSet", "instanceId", "*")),
    ("CreateImage", "<instanceId>*</instanceId><name>mine</name><description>words</description><noReboot>true</noReboot>"),
    ("DescribeImages", "<ownersSet><item><owner>self</owner></item></ownersSet>"),
    ("StopInstances", items("instancesSet", "instanceId", "*") + "<force>false</force>"),
    ("StartInstances", items("instancesSet", "instanceId", "*")),
    ("TerminateInstances", items("instancesSet", "instanceId", "*")),
    ("DeleteKeyPair", "<keyName>one</keyName>"),
    ("DescribeAddresses", "<publicIpsSet/>"),
    ("DescribeVolumes", "<volumeSet/>"),
    ("DescribeSnapshots", "<snapshotSet/>"),
    ("DescribeSecurityGroups", items("securityGroupSet", "groupName", "default")),
    ("DescribeTags", "<filterSet/>"),
]  # fmt: skip


def ask(scene, action, inside, version):
    scene.later(1)  # the signature of the same words at the same time would be the same
    operation = f'<{action} xmlns="http://ec2.amazonaws.com/doc/{version}/">{inside}</{action}>'
    return scene.send(compose(scene.genuine.owner, operation, scene.now).bytes())


def content(answer):
    return etree.fromstring(answer.body).find("s:Body", NS)[0]


@pytest.mark.parametrize("version", SCHEMAS)
@pytest.mark.parametrize("up", [True, False])
def test_every_answer_is_valid(version, up, scenes):
    schema, scene, checked = SCHEMAS[version], scenes(genuine("own")), 0
    scene.cloud.up = up
    for action, inside in CALLS:
        if action == "settle":
            scene.cloud.settle("running", reason="It & its <node> went quiet.", reason_code="Server.Quiet")
            continue
        answer = ask(scene, action, inside.replace("*", next(iter(scene.cloud.rows), "")), version)
        if action not in schema.elements:
            continue  # the generation did not have it
        element = content(answer)
        assert answer.status == 200, answer.body
        assert element.tag == f"{{{schema.namespace}}}{action}Response"
        schema.validator.assertValid(element)
        checked += 1
    assert checked >= 12


@pytest.mark.parametrize("version", SCHEMAS)
def test_operations_that_are_not_there_are_named(version, scenes):
    scene = scenes(genuine("own"))
    for action in SCHEMAS[version].elements:
        if action.endswith("Response") or action in ACTIONS:
            continue
        fault = content(ask(scene, action, "", version))
        assert fault.findtext("faultcode") in ("Client.InvalidAction", "Client.UnsupportedOperation")
        assert action in fault.findtext("faultstring")


# ------------------------------------------------------------------------------------------------------ faults
RUN = "<imageId>emi-12345678</imageId><minCount>1</minCount><maxCount>1</maxCount><groupSet/><instanceType>m1.small</instanceType>"


@pytest.mark.parametrize(
    ("action", "inside", "code", "words"),
    [
        ("TerminateInstances", items("instancesSet", "instanceId", "i-00000001"), "Client.InvalidInstanceID.NotFound", "i-00000001"),
        ("TerminateInstances", items("instancesSet", "instanceId", "nonsense"), "Client.InvalidInstanceID.Malformed", "nonsense"),
        ("TerminateInstances", "<instancesSet/>", None, ""),
        ("TerminateInstances", "", "Client.MissingParameter", "instancesSet/instanceId"),
        ("TerminateInstances", "<instancesSet><item/></instancesSet>", "Client.MissingParameter", "instancesSet/item/instanceId"),
        ("TerminateInstances", "<instancesSet><x>1</x></instancesSet>", "Client.UnknownParameter", "instancesSet/x"),
        ("TerminateInstances", "<instancesSet>i-1</instancesSet>", "Client.InvalidParameterValue", "text"),
        ("CreateKeyPair", "", "Client.MissingParameter", "keyName"),
        ("CreateKeyPair", "<keyName>a</keyName><keyName>b</keyName>", "Client.InvalidParameterCombination", "keyName"),
        ("CreateKeyPair", "<keyName><b/></keyName>", "Client.InvalidParameterValue", "keyName"),
        ("CreateKeyPair", '<keyName evil="1">a</keyName>', "Client.UnknownParameter", "evil"),
        ("CreateKeyPair", "<keyName>a</keyName><evil>1</evil>", "Client.UnknownParameter", "evil"),
        ("CreateKeyPair", "<keyName>a</keyName><evil/>", None, ""),
        ("RunInstances", RUN.replace(">1<", ">one<", 1), "Client.InvalidParameterValue", "minCount"),
        ("RunInstances", RUN.replace("emi-12345678", "emi-00000000"), "Client.InvalidAMIID.NotFound", "emi-00000000"),
        ("RunInstances", RUN.replace(">1<", ">9999<"), "Server.InsufficientInstanceCapacity", "there is room for 5000"),
        ("RunInstances", RUN + "<monitoring><enabled>1</enabled></monitoring>", None, ""),
        ("RunInstances", RUN + "<monitoring><enabled>maybe</enabled></monitoring>", "Client.InvalidParameterValue", "enabled"),
        ("RunInstances", RUN + '<userData version="2.0"><data>YQ==</data></userData>', "Client.UnknownParameter", "version"),
        ("RunInstances", RUN + "<userData><data>?</data></userData>", "Client.InvalidParameterValue", "base64"),
        ("Nonsense", "", "Client.InvalidAction", "Nonsense"),
        ("DescribeRegions", "<regionSet/>", "Client.InvalidAction", "DescribeRegions"),
    ],
)  # fmt: skip
def test_faults_as_the_tools_print_them(action, inside, code, words, scenes):
    answer = ask(scenes(genuine("own")), action, inside, "2008-05-05")
    if code is None:
        assert answer.status == 200 or b"Fault" in answer.body
        assert b"UnknownParameter" not in answer.body
        return
    fault = content(answer)
    assert answer.status == 500
    assert fault.tag == f"{{{NS['s']}}}Fault"
    assert [it.tag for it in fault] == ["faultcode", "faultstring", "detail"]
    assert fault.findtext("faultcode") == code
    assert words in fault.findtext("faultstring")


def test_an_internal_error_tells_nothing(scenes):
    scene = scenes(genuine("own"))
    scene.cloud.broken = RuntimeError("a secret inside")
    answer = ask(scene, "DescribeAvailabilityZones", "<availabilityZoneSet/>", "2008-05-05")
    assert answer.status == 500
    assert b"<faultcode>Server.InternalError</faultcode>" in answer.body
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    "namespace",
    [
        "http://ec2.amazonaws.com/doc/2008-05-05",
        "http://example.com/",
        "http://ec2.amazonaws.com/doc/latest/",
    ],
)
def test_other_namespaces_are_refused(namespace, scenes):
    scene = scenes(genuine("own"))
    operation = f'<CreateKeyPair xmlns="{namespace}"><keyName>a</keyName></CreateKeyPair>'
    answer = scene.send(compose(scene.genuine.owner, operation, scene.now).bytes())
    assert b"<faultcode>Client.InvalidAction</faultcode>" in answer.body
    assert scene.executed == []


def test_the_action_header_is_not_read(scenes):
    """The signed element decides; `Scene.send` always says CreateKeyPair."""
    answer = ask(scenes(genuine("own")), "DescribeInstances", "<instancesSet/>", "2008-05-05")
    assert b"DescribeInstancesResponse" in answer.body
