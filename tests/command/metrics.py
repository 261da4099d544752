"""Standard input as metrics, by a strict parser: a JSON object of the families' types, or why it is none."""
import json
import sys

try:
    from prometheus_client import parser
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict
except ImportError:
    sys.exit(77)

text = sys.stdin.read()
families = strict(text) if sys.argv[1] == "openmetrics" else parser.text_string_to_metric_families(text)
print(json.dumps({sample.name: family.type for family in families for sample in family.samples}))
