"""binary_layout.py LAYOUT request|response FILE: FILE as JSON, read by nothing but the layout."""

import json
import re
import struct
import sys

CODES = {"u16": "H", "u32": "I", "i64": "q", "f32": "f"}


def code(field):
    text = re.fullmatch(r"char\[(\d+)\]", field["type"])
    return f"{text.group(1)}s" if text else CODES[field["type"]]


def fields(layout, spec, data, at):
    form = struct.Struct("<" + "".join(code(f) for f in spec))
    out = {}
    for field, value in zip(spec, form.unpack_from(data, at)):
        value = value.decode() if isinstance(value, bytes) else value
        assert value == field.get("value", value), f"{field['name']} is {value}"
        if "enum" in field:
            value = layout["enums"][field["enum"]][value]
        if "bits" in field:
            assert value >> len(field["bits"]) == 0, f"{field['name']} is {value}"
            value = [name for i, name in enumerate(field["bits"]) if value >> i & 1]
        out[field["name"]] = value
    return out, at + form.size


def string(data, at):
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1


def u16(data, at):
    return struct.unpack_from("<H", data, at)[0]


def read(layout, kind, data):
    spec = layout[kind]
    out, at = fields(layout, spec["header"], data, 0)
    records = spec.get("records")
    if records:
        out[records["name"]] = []
        for _ in range(out[records["count"]]):
            record, at = fields(layout, records["fields"], data, at)
            out[records["name"]].append(record)
    for entry in spec["strings"]:
        values = []
        for _ in range(out[entry["count"]] if "count" in entry else 1):
            value = {}
            for part in entry.get("of", [""]):
                value[part], at = string(data, at)
            values.append(value if "of" in entry else value[""])
        out[entry["name"]] = values if "count" in entry else values[0]
    for entry in spec.get("lists", []):
        out[entry["name"]] = []
        if entry["flag"] not in out["flags"]:
            continue
        entries, at = u16(data, at), at + 2
        for _ in range(entries):
            value = {}
            for part in entry["of"]:
                value[part], at = string(data, at)
            if "list" in entry:
                value[entry["list"]], count, at = [], u16(data, at), at + 2
                for _ in range(count):
                    text, at = string(data, at)
                    value[entry["list"]].append(text)
            out[entry["name"]].append(value)
    assert at == len(data), f"{len(data) - at} bytes are left over"
    return out


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    with open(sys.argv[3], "rb") as file:
        json.dump(read(spec, sys.argv[2], file.read()), sys.stdout)
