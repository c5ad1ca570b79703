"""cosmos_read.py ENDPOINT DATABASE: reads with Microsoft's Python client what our adapter wrote, and prints it as JSON:
one document by its hierarchical key, a stream by its ids, and the directory's query across partitions."""

import base64
import json
import sys

from azure.cosmos import CosmosClient

DUE = (
    "SELECT VALUE c.due.key FROM c WHERE c.due.what = @what AND c.due.at <= @at "
    "AND (NOT IS_DEFINED(c.expires) OR c.expires > @now) ORDER BY c.due.key ASC"
)
RANGE = "SELECT VALUE c.id FROM c WHERE c.id >= @from AND c.id < @until ORDER BY c.id DESC"


def parameters(**values):
    return [{"name": f"@{name}", "value": value} for name, value in values.items()]


def main():
    endpoint, database = sys.argv[1:]
    # The host verifies no key; on a real account the client would have a token.
    key = base64.b64encode(b"loopback").decode()
    client = CosmosClient(endpoint, credential=key, connection_verify=False)
    state = client.get_database_client(database).get_container_client("state")
    now = "2026-11-21T10:00:00.000Z"
    document = state.read_item(item="a|1", partition_key=["acme", "rules"])
    ids = state.query_items(
        RANGE, parameters=parameters(**{"from": "a", "until": "b"}), partition_key=["acme", "rules"]
    )
    due = state.query_items(
        DUE, parameters=parameters(what="Alerts", at=now, now=now), enable_cross_partition_query=True
    )
    own = {name: value for name, value in document.items() if not name.startswith("_")}
    print(json.dumps({"document": own, "ids": list(ids), "due": list(due)}))


main()
