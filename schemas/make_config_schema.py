#!/usr/bin/python3
"""Writes schemas/config.schema.json from what the verbs' own --help says, so that the two cannot drift apart.

    python3 schemas/make_config_schema.py build/release/bin/llmcf > schemas/config.schema.json
    python3 schemas/make_config_schema.py build/release/bin/llmcf --check schemas/config.schema.json
"""
import json
import re
import subprocess
import sys

OPTION = re.compile(r"^ {2,6}(?:-(?P<short>.), |    )?(?P<options>--[a-z0-9-]+(?:=\S+)?(?:, --[a-z0-9-]+(?:=\S+)?)*)\s*(?P<text>.*)$")
NOT_IN_FILES = {"help", "usage", "version", "config"}
SCALAR = {"type": ["string", "number"]}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def verbs(program):
    text = run(program, "--help").split("Verbs", 1)[1]
    return re.findall(r"^  ([a-z-]+) {2,}\S", text, re.MULTILINE)


def options(program, verb):
    """name -> (takes a value, text), in the order of the help."""
    found, last = {}, None
    text = run(program, verb, "--help").split("--version", 1)[0]  # what follows are explanations and examples
    for line in text.splitlines():
        match = OPTION.match(line)
        if match:
            name, _, value = match["options"].split(",")[0][2:].partition("=")
            last = name
            found[name] = [bool(value), match["text"]]
        elif last and line.startswith(" " * 20):
            found[last][1] += " " + line.strip()
        else:
            last = None
    return {name: (value, text.strip()) for name, (value, text) in found.items() if name not in NOT_IN_FILES}


def section(program, verb):
    properties = {}
    for name, (takes_value, text) in sorted(options(program, verb).items()):
        kind = {"anyOf": [SCALAR, {"type": "array", "items": SCALAR}]} if takes_value else {"type": "boolean"}
        properties[name] = {"description": text, **kind}
    return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def schema(program):
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of llmcf: a section per verb, whose keys are its long options (schemas/config.md)",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {verb: section(program, verb) for verb in verbs(program)},
    }


def main():
    made = schema(sys.argv[1])
    if len(sys.argv) == 4 and sys.argv[2] == "--check":
        with open(sys.argv[3], encoding="utf-8") as file:
            kept = json.load(file)["properties"]
        wrong = 0
        for verb in sorted(set(made["properties"]) | set(kept)):
            now = set(made["properties"].get(verb, {}).get("properties", {}))
            then = set(kept.get(verb, {}).get("properties", {}))
            for name in sorted(now ^ then):
                print(f"{verb}: --{name} is {'not in the schema' if name in now else 'in the schema only'}", file=sys.stderr)
                wrong = 1
        sys.exit(wrong)
    print(json.dumps(made, indent=2, ensure_ascii=False))


main()
