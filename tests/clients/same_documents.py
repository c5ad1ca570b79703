"""Holds what the demo stored in Cosmos DB against what the embedded store has: the same documents, field by field.

    same_documents.py <account endpoint> <state.sqlite3>

Both runs are the same on a virtual clock; Microsoft's own client reads the one, sqlite3 the other. What a run did not
decide is left out: etags, and the time to live in seconds, which stands beside `expires`.
"""

import datetime
import json
import sqlite3
import sys

from azure.cosmos import CosmosClient

CONTAINERS = ("state", "telemetry", "metrics")


def instant(millis):
    if millis is None:
        return None
    at = datetime.datetime.fromtimestamp(millis / 1000, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{millis % 1000:03d}Z"


def plain(value):
    """Numbers that JSON does not tell apart (1 and 1.0) are one."""
    if isinstance(value, dict):
        return {name: plain(field) for name, field in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def restored(value):
    """What the adapter keeps as text because Cosmos DB knows doubles only: `=` before it, `==` before a text's own."""
    if isinstance(value, dict):
        return {name: restored(field) for name, field in value.items()}
    if isinstance(value, list):
        return [restored(item) for item in value]
    if isinstance(value, str) and value.startswith("="):
        return value[1:] if value.startswith("==") else json.loads(value[1:])
    return value


def of_cosmos(endpoint):
    client = CosmosClient(endpoint, credential="bG9vcGJhY2s=", connection_verify=False)
    database = client.get_database_client("opsloop")
    found = {}
    for container in CONTAINERS:
        for kept in database.get_container_client(container).read_all_items():
            due = kept.get("due")
            key = (container, kept["tenantId"], kept["stream"], kept["id"])
            due = due and [due["what"], due["at"]]
            found[key] = plain([kept["kind"], due, kept.get("expires"), restored(kept["body"])])
    return found


def of_sqlite(path):
    rows = sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute(
        "SELECT container, tenant, stream, id, kind, what, due_at, expires, body FROM documents"
    )
    found = {}
    for container, tenant, stream, id, kind, what, due_at, expires, body in rows:
        due = what and [what, instant(due_at)]
        found[(CONTAINERS[container], tenant, stream, id)] = plain([kind, due, instant(expires), json.loads(body)])
    return found


def main(endpoint, path):
    cosmos, sqlite = of_cosmos(endpoint), of_sqlite(path)
    wrong = [f"only in Cosmos DB: {key}" for key in cosmos.keys() - sqlite.keys()]
    wrong += [f"only in SQLite: {key}" for key in sqlite.keys() - cosmos.keys()]
    for key in cosmos.keys() & sqlite.keys():
        if cosmos[key] != sqlite[key]:
            wrong.append(f"differs: {key}\n  {cosmos[key]}\n  {sqlite[key]}")
    for line in sorted(wrong)[:20]:
        print(line[:2000])
    print(f"{len(cosmos)} documents in Cosmos DB, {len(sqlite)} in SQLite, {len(wrong)} differences")
    return 1 if wrong or not cosmos else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
