"""What a schema, in a file, has against each of the documents in a JSON array on standard input."""
import json
import sys

try:
    from jsonschema import Draft202012Validator
except ImportError:
    sys.exit(77)

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
print(json.dumps([[fault.message for fault in validator.iter_errors(document)] for document in json.load(sys.stdin)]))
