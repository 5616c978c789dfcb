"""Launch permissions and registration of images, seen on a real cloud."""

from __future__ import annotations

import pytest
from ec2_world import COUNTS, asked, launched, refused, texts


# ------------------------------------------------------------------------------------------ launch permissions
def permissions(w):
    tree = asked(w, "DescribeImageAttribute", ImageId=w.image, Attribute="launchPermission")
    return texts(tree, "launchPermission/item/group") + texts(tree, "launchPermission/item/userId")


NEW = {
    "LaunchPermission.Add.1.Group": "all", "LaunchPermission.Add.2.UserId": "123456789012", "LaunchPermission.Remove.1.UserId": "BOB",
}  # fmt: skip


def test_launch_permissions_in_both_spellings(world):
    w = world()
    bob = w.bob.account_id
    assert permissions(w) == [bob]
    assert (
        w.ask(
            "ModifyImageAttribute", {"ImageId": w.image, **{k: v.replace("BOB", bob) for k, v in NEW.items()}}
        )[0]
        == "200"
    )
    assert permissions(w) == ["all", "123456789012"]
    for operation, name, who in (
        ("remove", "UserGroup", "all"), ("remove", "UserId", "123456789012"), ("add", "UserId", bob),
    ):  # fmt: skip
        asked(
            w,
            "ModifyImageAttribute",
            ImageId=w.image,
            Attribute="launchPermission",
            OperationType=operation,
            **{f"{name}__1": who},
        )
    assert permissions(w) == [bob]
    asked(w, "ResetImageAttribute", ImageId=w.image, Attribute="launchPermission")
    assert permissions(w) == []
    assert refused(w, "RunInstances", w.bob, ImageId=w.image, **COUNTS)[0] == "InvalidAMIID.NotFound"


def test_a_permission_is_what_it_says(world):
    w = world()
    assert launched(w, w.bob).startswith("i-")
    own = asked(w, "DescribeImages", w.bob, ExecutableBy__1="self")
    assert texts(own, "imagesSet/item/imageId") == [w.image]
    assert w.image not in texts(
        asked(w, "DescribeImages", w.bob, ExecutableBy__1="all"), "imagesSet/item/imageId"
    )


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"LaunchPermission.Add.1.Group": "friends"}, "InvalidParameterValue"),
        ({"LaunchPermission.Add.1.UserId": "12"}, "InvalidParameterValue"),
        ({"LaunchPermission.Add.1.UserId": "123456789012", "LaunchPermission.Add.1.Group": "all"}, "InvalidParameterCombination"),
        ({"OperationType": "grant", "UserId.1": "123456789012"}, "InvalidParameterValue"),
        ({"UserId.1": "123456789012"}, "MissingParameter"),
        ({"OperationType": "add"}, "MissingParameter"),
        ({}, "MissingParameter"),
        ({"ProductCode.1": "x"}, "UnsupportedOperation"),
        ({"Description.Value": "x"}, "UnsupportedOperation"),
        ({"Attribute": "kernel"}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_permissions_that_are_refused_change_nothing(given, code, standing):
    before = permissions(standing)
    assert standing.ask("ModifyImageAttribute", {"ImageId": standing.image, **given})[0] == code
    assert permissions(standing) == before


@pytest.mark.parametrize("dry", ["true", "false"])
def test_who_does_not_own_an_image_is_told_so(dry, standing):
    w = standing
    for action, given in (
        ("ModifyImageAttribute", {"LaunchPermission.Add.1.Group": "all"}), ("ResetImageAttribute", {"Attribute": "launchPermission"}),
        ("DeregisterImage", {}), ("DisableImage", {}), ("EnableImage", {}), ("DescribeImageAttribute", {"Attribute": "launchPermission"}),
    ):  # fmt: skip
        code, sentence = w.ask(action, {"ImageId": w.image, "DryRun": dry, **given}, w.bob)
        assert code == "UnauthorizedOperation", (action, sentence)
    assert w.ask("DescribeImageAttribute", {"ImageId": w.image, "Attribute": "kernel"}, w.bob)[0] == "200"


def test_a_disabled_image_is_shown_as_such_and_not_launched(world):
    w = world()
    asked(w, "DisableImage", ImageId=w.image)
    shown = asked(w, "DescribeImages", ImageId__1=w.image)
    assert texts(shown, "imagesSet/item/imageState") == ["disabled"]
    assert "disabled by" in texts(shown, "imagesSet/item/stateReason/message")[0]
    code, sentence = refused(w, "RunInstances", ImageId=w.image, MinCount="1", MaxCount="1")
    assert code == "InvalidAMIID.Unavailable"
    assert "enables it again" in sentence
    assert w.ask("DescribeImages", {"ImageId.1": w.image}, w.bob)[0] == "InvalidAMIID.NotFound"
    asked(w, "EnableImage", ImageId=w.image)
    assert texts(asked(w, "DescribeImages", ImageId__1=w.image), "imagesSet/item/imageState") == ["available"]


# ---------------------------------------------------------------------------------------------- registration
def test_register_and_deregister(world):
    w = world()
    made = texts(
        asked(w, "RegisterImage", ImageLocation="uploads/machine", Name="mine", KernelId=w.kernel), "imageId"
    )[0]
    shown = asked(w, "DescribeImages", ImageId__1=made)
    assert texts(shown, "imagesSet/item/name") == ["mine"]
    assert texts(shown, "imagesSet/item/isPublic") == ["false"]
    code, sentence = refused(w, "DeregisterImage", ImageId=w.kernel)
    assert code == "DependencyViolation"
    assert made in sentence
    asked(w, "DeregisterImage", ImageId=made)
    assert refused(w, "DescribeImages", ImageId__1=made)[0] == "InvalidAMIID.NotFound"
    old = asked(w, "RegisterImage", version="2007-08-29", ImageLocation="uploads/machine")
    assert old.findtext("{*}imageId").startswith("emi-")


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1/x", "file:///etc/passwd", "/etc/passwd", "../x", "none"]
)
def test_only_uploads_can_be_registered(location, standing):
    assert refused(standing, "RegisterImage", ImageLocation=location, Name="n")[0] == "InvalidAMIID.NotFound"
