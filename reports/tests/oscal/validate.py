"""Validates the OSCAL document on standard input against the published schema; says every mistake and ends with 1 if there is any."""

import json
import pathlib
import sys

import jsonschema

text = (pathlib.Path(__file__).parent / "oscal_assessment-results_schema-1.1.3.json").read_text()
for theirs, ours in ((r"\\p{L}", r"[^\\W\\d_]"), (r"\\p{N}", r"\\d")):
    # Inside a class the class of letters cannot be nested: the schema has it only in alternatives.
    text = text.replace(theirs, ours)
schema = json.loads(text)
jsonschema.Draft7Validator.check_schema(schema)
mistakes = list(jsonschema.Draft7Validator(schema).iter_errors(json.load(sys.stdin)))
for mistake in mistakes:
    print("/".join(map(str, mistake.absolute_path)) + ": " + mistake.message[:300])
sys.exit(1 if mistakes else 0)
