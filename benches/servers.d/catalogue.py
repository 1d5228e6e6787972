"""Makes each class of the catalogue in two PostgreSQL databases and asks reladiff about it.

Prints how many it finds, and then a line for each class. A class is found when reladiff reports the one
row that differs, in each of four runs: its verdict can depend on the order of a set."""

import os
import subprocess
import sys
import tomllib

import psycopg2

COLUMNS = {
    "text": "v TEXT", "two texts": "v TEXT, w TEXT", "int": "v BIGINT", "float": "v DOUBLE PRECISION",
    "decimal": "v NUMERIC(36,12)", "any decimal": "v NUMERIC", "timestamp": "v TIMESTAMP",
    "instant": "v TIMESTAMPTZ", "date": "v DATE", "time": "v TIME", "bool": "v BOOLEAN", "bytes": "v BYTEA",
    "uuid": "v UUID", "json": "v JSONB", "array": "v INT[]", "range": "v INT4RANGE", "interval": "v INTERVAL",
    "timetz": "v TIMETZ", "enum": "v mood", "inet": "v INET",
}
RUNS = 4


def cells(one, which):
    text = one[which]
    if one["type"] == "bytes" and text != "NULL":
        return f"'\\x{text}'"
    return text


def main():
    file, source, target, reladiff = sys.argv[1:]
    with open(file, "rb") as opened:
        classes = tomllib.load(opened)["class"]
    databases = [psycopg2.connect(url) for url in (source, target)]
    for database in databases:
        database.autocommit = True
        database.cursor().execute("CREATE TYPE mood AS ENUM ('new', 'old')")
    lines, found = [], 0
    for number, one in enumerate(classes):
        if one.get("only", ["postgres"]) != ["postgres"]:
            continue
        for database, second in zip(databases, ("a", "b")):
            cursor = database.cursor()
            cursor.execute(f"CREATE TABLE c{number} (id INTEGER PRIMARY KEY, {COLUMNS[one['type']]})")
            cursor.execute(
                f"INSERT INTO c{number} VALUES (1, {cells(one, 'a')}), (2, {cells(one, second)})"
            )
        verdicts = set()
        for seed in range(RUNS):
            asked = subprocess.run(
                [reladiff, source, f"c{number}", target, f"c{number}", "-k", "id", "-c", "%"],
                capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": str(seed)},
            )
            rows = [line for line in asked.stdout.splitlines() if line[:2] in ("- ", "+ ")]
            keys = {line[2:].split(",")[0] for line in rows}
            if keys == {"2"}:
                verdicts.add("found")
            elif not keys and "ERROR" not in asked.stderr and asked.returncode == 0:
                verdicts.add("missed")
            else:
                verdicts.add("failed")
        found += verdicts == {"found"}
        lines.append(f"| {one['name']} | {' or '.join(sorted(verdicts))} |")
    print(f"{found} of {len(lines)}")
    print()
    print("| class | reladiff |")
    print("|---|---|")
    print("\n".join(lines))


main()
