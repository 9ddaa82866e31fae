#!/usr/bin/env python3
"""Derives tests/engine/conformance/model.json from an installed AWS CLI (botocore's service models, the CLI's examples).

    python3 tests/engine/conformance/extract.py > tests/engine/conformance/model.json

Kept is what the lab needs to be held against: of each operation that the lab has, its input and output with every
shape that they reach. A shape of a structure is {member: "name on the wire, type"}; a type is `string`, `integer`,
`boolean`, `double`, `timestamp`, `enum a|b` (LONG enums are plain strings), `[name] T` for a list whose elements are
called `name` on the wire (`flat` where the elements stand without a list around them), `{} T` for a map, or the name
of another structure. Limits follow a type: `string 1..255 /pattern/`. A member that must be there ends with `!`.
"""

import glob
import gzip
import json
import os
import re
import sys

import awscli
import botocore

OPERATIONS = {
    "ec2": """AttachVolume CreateSnapshot CreateSnapshots CreateTags CreateVolume DeleteSnapshot DeleteTags DeleteVolume
        DescribeAvailabilityZones DescribeFastSnapshotRestores DescribeImages DescribeInstanceAttribute
        DescribeInstanceStatus DescribeInstances DescribeLockedSnapshots DescribeRegions DescribeSnapshotAttribute
        DescribeSnapshots DescribeTags DescribeVolumes DetachVolume StartInstances StopInstances""",
    "ssm": """CancelCommand CreateDocument DeleteDocument DescribeDocument DescribeInstanceInformation
        GetCommandInvocation GetConnectionStatus GetDocument ListCommandInvocations ListCommands ListDocuments
        SendCommand UpdateDocument UpdateDocumentDefaultVersion""",
    "cloudwatch": "DescribeAlarms GetMetricData GetMetricStatistics ListMetrics PutMetricData",
    "sts": "AssumeRole GetCallerIdentity",
}
LONG = 40
DATA = os.path.join(os.path.dirname(botocore.__file__), "data")
EXAMPLES = os.path.join(os.path.dirname(awscli.__file__), "examples")


def wire_name(protocol, name, ref, shape, shapes, incoming):
    """What a member is called on the wire."""
    if protocol == "ec2" and incoming:
        if "queryName" in ref:
            return ref["queryName"]
        located = ref.get("locationName")
        if located:
            return located[0].upper() + located[1:]
        return name
    return ref.get("locationName", name)


def scalar(shape):
    kind = shape["type"]
    if kind == "string":
        values = shape.get("enum")
        if values and len(values) <= LONG:
            return "enum " + "|".join(values)
        return "string" + limits(shape)
    plain = {"long": "integer", "float": "double", "blob": "string"}
    return plain.get(kind, kind) + limits(shape)


def limits(shape):
    text = ""
    if "min" in shape or "max" in shape:
        text += " {}..{}".format(shape.get("min", ""), shape.get("max", ""))
    if shape.get("pattern"):
        text += " /{}/".format(shape["pattern"])
    return text


def kind_of(name, model, wanted, incoming):
    shape = model["shapes"][name]
    protocol = model["metadata"]["protocol"]
    if shape["type"] == "structure":
        wanted.append((name, incoming))
        return name
    if shape["type"] == "list":
        member = shape["member"]
        inner = kind_of(member["shape"], model, wanted, incoming)
        flat = shape.get("flattened") or (protocol == "ec2" and incoming)
        element = "flat" if flat else member.get("locationName", "member")
        bounds = limits(shape)
        return "[{}{}] {}".format(element, bounds, inner)
    if shape["type"] == "map":
        return "{} " + kind_of(shape["value"]["shape"], model, wanted, incoming)
    return scalar(shape)


def structure(name, model, wanted, incoming):
    shape = model["shapes"][name]
    protocol = model["metadata"]["protocol"]
    out = {}
    for member, ref in shape["members"].items():
        kind = kind_of(ref["shape"], model, wanted, incoming)
        wire = wire_name(protocol, member, ref, shape, model["shapes"], incoming)
        if member in shape.get("required", []):
            kind += "!"
        out[member] = "{} {}".format(wire, kind)
    return out


def shapes(first, model, incoming):
    found, wanted = {}, [(first, incoming)]
    while wanted:
        name, direction = wanted.pop()
        if name not in found:
            found[name] = structure(name, model, wanted, direction)
    return found


def filters(model, operation):
    """Names that the documentation of `Filters` gives."""
    shape = model["operations"][operation].get("input")
    if not shape:
        return []
    member = model["shapes"][shape["shape"]]["members"].get("Filters", {})
    text = member.get("documentation", "")
    names = set(re.findall(r"<li> <p> ?<code>([a-z0-9.-]+)</code>", text)) - {"tag"}
    return sorted(names | ({"tag:"} if "&lt;key&gt;" in text else set()))


def paths(value, at=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            path = at + "." + key if at else key
            yield path
            yield from paths(inner, path)
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, at)


def sample(service, operation, members):
    """Paths of the members in the answers that the CLI's examples show."""
    file = re.sub(r"(?<!^)(?=[A-Z])", "-", operation).lower() + ".rst"
    found = set()
    for path in glob.glob(os.path.join(EXAMPLES, service, file)):
        text = open(path, encoding="utf-8").read()
        for block in re.findall(r"Output::\n\n((?:[ \t]+.*\n|\n)+)", text):
            # The examples are written by hand: line breaks in strings, commas left out.
            block = re.sub(r"\}(\s*)\{", r"},\1{", block)
            try:
                value = json.loads(block, strict=False)
            except ValueError:
                continue
            # With --query an example shows something else than the answer.
            if isinstance(value, dict) and set(value) <= members:
                found.update(paths(value))
    return sorted(found)


def main():
    out = {
        "about": "derived by tests/engine/conformance/extract.py from botocore {} and aws-cli {} (Apache-2.0)".format(
            botocore.__version__, awscli.__version__
        )
    }
    for service, operations in OPERATIONS.items():
        [path] = sorted(glob.glob(os.path.join(DATA, service, "*", "service-2.json.gz")))[-1:]
        model = json.load(gzip.open(path))
        entry = {"version": model["metadata"]["apiVersion"], "operations": {}, "in": {}, "out": {}}
        for operation in operations.split():
            facts = model["operations"][operation]
            told = {}
            for way, incoming in (("input", True), ("output", False)):
                if way in facts:
                    name = facts[way]["shape"]
                    told[way] = name
                    entry["in" if incoming else "out"].update(shapes(name, model, incoming))
            errors = [model["shapes"][e["shape"]] | {"name": e["shape"]} for e in facts.get("errors", [])]
            if errors:
                told["errors"] = [e.get("error", {}).get("code", e["name"]) for e in errors]
            names = filters(model, operation) if service == "ec2" else []
            if names:
                told["filters"] = names
            answer = facts.get("output", {}).get("shape")
            members = set(model["shapes"][answer]["members"]) if answer else set()
            shown = sample(service, operation, members)
            if shown:
                told["sample"] = shown
            entry["operations"][operation] = told
        out[service] = entry
    text = json.dumps(out, indent=1, ensure_ascii=False, sort_keys=True)
    # One structure, one operation a line: small, and still a diff that can be read.
    text = re.sub(r"\n {4,}(?! )", " ", text)
    text = re.sub(r"\n {3}(?=[}\]])", " ", text)
    json.loads(text)
    sys.stdout.write(text + "\n")


main()
