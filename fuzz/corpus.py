"""The requests that fuzzing begins with: genuine ones of every signature, and each parameter of each operation."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from euca_ec2.operations import ACTIONS, REFUSED

from .scene import IDENTITY, KEY, Scene, query, soap, world

SOCKET = 0x08  # of the byte of control: the input goes through a socket


class Way(IntEnum):
    """The signature that is made anew over what the input says; the lowest three bits of the byte of control."""

    AS_IT_IS = 0
    V4 = 1
    PRESIGNED = 2
    V2 = 3
    V1 = 4
    SOAP = 5


def way_of(control: int) -> Way:
    number = control & 0x07
    return Way(number) if number <= Way.SOAP else Way.AS_IT_IS


def requests(scene: Scene) -> Iterator[dict[str, str]]:
    """Parameters of honest requests, by way of the table of what each parameter does."""
    for action, (base, cases) in world.CASES.items():
        given = {"Action": action, "Version": world.VERSION, **base(scene.world)}
        yield given
        for added in cases.values():
            try:
                more = added(scene.world)
            except (TypeError, AttributeError):  # what the table shows by a whole day of the cloud
                continue
            if isinstance(more, dict):
                yield {**given, **more}
            elif isinstance(more, tuple):
                yield {**given, **more[1]}
            else:
                yield {"Action": action, "Version": world.VERSION, **more.added}
    yield {"Action": "GetCallerIdentity", "Version": "2011-06-15"}


SOAP_OPERATIONS = (
    ("DescribeAvailabilityZones", "<e:availabilityZoneSet><e:item><e:zoneName>open</e:zoneName></e:item></e:availabilityZoneSet>"),
    ("DescribeImages", "<e:imagesSet><e:item><e:imageId>{image}</e:imageId></e:item></e:imagesSet>"),
    ("DescribeImages", "<e:executableBySet/><e:imagesSet/><e:ownersSet><e:item><e:owner>self</e:owner></e:item></e:ownersSet>"),
    ("DescribeInstances", "<e:instancesSet><e:item><e:instanceId>{running}</e:instanceId></e:item></e:instancesSet>"),
    ("DescribeKeyPairs", "<e:keySet><e:item><e:keyName>one</e:keyName></e:item></e:keySet>"),
    ("DeleteKeyPair", "<e:keyName>none</e:keyName>"),
    ("GetConsoleOutput", "<e:instanceId>{running}</e:instanceId>"),
    ("RebootInstances", "<e:instancesSet><e:item><e:instanceId>{running}</e:instanceId></e:item></e:instancesSet>"),
    ("TerminateInstances", "<e:instancesSet><e:item><e:instanceId>{stopped}</e:instanceId></e:item></e:instancesSet>"),
    ("RunInstances", "<e:imageId>{image}</e:imageId><e:minCount>1</e:minCount><e:maxCount>1</e:maxCount><e:keyName>one</e:keyName>"
     "<e:groupSet><e:item><e:groupId>default</e:groupId></e:item></e:groupSet><e:userData><e:data>aGVsbG8=</e:data></e:userData>"
     "<e:instanceType>m1.small</e:instanceType><e:placement><e:availabilityZone>open</e:availabilityZone></e:placement>"),
    ("DescribeSecurityGroups", "<e:securityGroupSet/>"),
    ("DescribeImageAttribute", "<e:imageId>{image}</e:imageId><e:launchPermission/>"),
    ("ModifyImageAttribute", "<e:imageId>{image}</e:imageId><e:launchPermission><e:add><e:item><e:group>all</e:group></e:item></e:add></e:launchPermission>"),
    ("CreateVolume", "<e:size>1</e:size><e:availabilityZone>open</e:availabilityZone>"),
    ("DescribeInstances", "<e:filterSet><e:item><e:name>image-id</e:name><e:valueSet><e:item><e:value>*</e:value></e:item></e:valueSet></e:item></e:filterSet>"),
)  # fmt: skip


def operations(scene: Scene) -> Iterator[str]:
    names = {name: getattr(scene.world, name) for name in ("image", "running", "stopped")}
    for number, (action, inside) in enumerate(SOAP_OPERATIONS):
        version = ("2008-02-01", "2008-12-01", "2010-08-31")[number % 3]
        yield (
            f'<e:{action} xmlns:e="http://ec2.amazonaws.com/doc/{version}/">{inside.format(**names)}</e:{action}>'
        )


def signed_again(way: Way, letter, at: float):
    """The letter with a signature of its own over what it says; ValueError if there is none to be made."""
    if way is Way.SOAP:
        text = letter.body.decode("utf-8", "replace")
        return soap_letter(soap.compose(IDENTITY, text, at).bytes())
    if way is Way.V4:
        return query.sign_v4(KEY, letter, at)
    if way is Way.PRESIGNED:
        return query.presign_v4(KEY, letter, at)
    given = dict(query.pairs(letter.query) + query.pairs(letter.body))
    return (query.v2 if way is Way.V2 else query.v1)(KEY, given, at, letter)


def soap_letter(message: bytes):
    headers = (("Host", query.HOST), ("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", '""'))
    return query.Letter(headers=headers, body=message)


def genuine(scene: Scene) -> list[bytes]:
    """Signed requests as their owner sent them, to be changed without being signed again."""
    at, found = scene.now, []
    w = scene.world
    small = (
        {"Action": "DescribeInstances", "InstanceId.1": w.running, "Version": "2009-11-30"},
        {"Action": "TerminateInstances", "InstanceId.1": w.stopped, "Version": "2016-11-15"},
        {"Action": "RunInstances", "ImageId": w.image, "MaxCount": "1", "MinCount": "1", "Version": "2009-11-30"},
        {"Action": "ModifyImageAttribute", "Attribute": "launchPermission", "ImageId": w.image, "OperationType": "add",
         "UserGroup.1": "all", "Version": "2010-08-31"},
    )  # fmt: skip
    for given in small:
        for method in ("GET", "POST"):
            letter = query.Letter(method)
            found += [
                query.v4(KEY, given, at, letter), query.v2(KEY, given, at, letter), query.v1(KEY, given, at, letter),
                query.v2(KEY, given, at, letter, digest="sha1"),
            ]  # fmt: skip
        found.append(query.presigned(KEY, given, at))
        found.append(query.v4(KEY, given, at, signed="content-type;host;x-amz-date"))
    served = [it for it in operations(scene) if "CreateVolume" not in it]
    found += [soap_letter(soap.compose(IDENTITY, it, at).bytes()) for it in served]
    found += [
        soap_letter(
            soap.compose(
                IDENTITY,
                it,
                at,
                method=soap.RSA_SHA256,
                digest=soap.SHA256,
                prefixes="s",
                order="token signature stamp",
            ).bytes()
        )
        for it in served[:2]
    ]
    return [letter.with_length().bytes() for letter in found]


def seeds(scene: Scene) -> list[bytes]:
    """Inputs, each with its byte of control."""
    found = []
    for number, message in enumerate(genuine(scene)):
        found.append(bytes([Way.AS_IT_IS | (SOCKET if number % 4 == 0 else 0)]) + message)
    ways = (Way.V4, Way.V2, Way.PRESIGNED, Way.V1)
    for number, given in enumerate(requests(scene)):
        letter = query.form(given, query.Letter("GET" if number % 3 == 0 else "POST")).with_length()
        found.append(bytes([ways[number % 4]]) + letter.bytes())
    for text in operations(scene):
        found.append(bytes([Way.SOAP]) + soap_letter(text.encode()).with_length().bytes())
    return found


# --------------------------------------------------------------------------------------------------------- words
HEADERS = (
    "Host: h", "Content-Length: 0", "Content-Length: 5", "Content-Length: -1", "Content-Length: +5",
    "Content-Length: 99999999999999", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Expect: 100-continue",
    "Connection: close", "Connection: keep-alive", "Content-Type: text/xml", "Content-Type: application/json",
    "X-Amz-Date: 20231114T221320Z", "Date: Tue, 14 Nov 2023 22:13:20 GMT", "Authorization: Basic YTpi", "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD",
    "SOAPAction: x", "Upgrade: h2c", "TE: trailers", "Range: bytes=0-1", "X-Forwarded-For: 127.0.0.1", " folded", "Host", ": x",
)  # fmt: skip
TOKENS = (
    "\r\n", "\n", "\r\n\r\n", "\0", "\t", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "GET ", "POST ", "HEAD ", "PUT ", "*", "http://x/", "?", "&", "=", "%",
    "%00", "%2B", "+", ";", "%26", "%3D", "%c3%a9", "%ff", "#", "Signature=", "SignatureVersion=2", "SignatureVersion=1", "SignatureMethod=HmacSHA1",
    "AWSAccessKeyId=", "Timestamp=2023-11-14T22%3A13%3A20Z", "Expires=2033-11-14T22%3A13%3A20Z", "X-Amz-Signature=", "X-Amz-Expires=1",
    "X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Date=", "X-Amz-Credential=", "X-Amz-SignedHeaders=host", "Action=", "Version=2016-11-15",
    "Version=2007-08-29", "DryRun=true", "<", ">", "/>", "<!--", "-->", "<?x?>", "<![CDATA[", "]]>", "<!DOCTYPE a [<!ENTITY b 'c'>]>", "&b;", "&#0;",
    "&#x41;", " xmlns:s=''", " xmlns='http://x/'", " Id='B-1'", " wsu:Id='B-1'", "#B-1", "#T-1", "<s:Body>", "</s:Body>", "<e:item/>", "\xff", "\xef\xbb\xbf",
)  # fmt: skip
VALUES = (
    "", "0", "1", "-1", "5", "1000", "2147483648", "99999999999999999999", "true", "false", "maybe", "default", "all", "self", "*", "?", "\\", "\\*",
    "open", "east", "m1.small", "x1.huge", "i-00000000", "i-1", "emi-00000001", "eki-00000000", "key-00000000", "000000000000", "spot", "persistent",
    "instance-id", "tag:Name", "tag-key", "instance-state-name", "launch-time", "launchPermission", "kernel", "userData", "aGVsbG8=", "====", "\u00e9",
    "\U0001f600", "\0", "a" * 300, "2023-11-14T22:13:20Z", "add", "remove", "verbose", "deadline=soon",
)  # fmt: skip


def names(scene: Scene) -> list[str]:
    """Every parameter that some operation knows."""
    found = {name for given in requests(scene) for name in given}
    found |= {f"{name.partition('.')[0]}.2" for name in found if ".1" in name}
    return sorted(found)


def actions() -> list[str]:
    return sorted({*ACTIONS, *REFUSED, "GetCallerIdentity"})


def dictionary(scene: Scene) -> str:
    """For libFuzzer."""
    words = {*HEADERS, *TOKENS, *(it for it in VALUES if 0 < len(it) < 60), *actions()}
    words |= {f"{name}=" for name in names(scene)}
    return "".join(
        '"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n' for word in sorted(words)
    )
