"""Encoding and decoding nested data.   documents.py ROUNDS"""

import json
import sys

people = [{"id": i, "name": f"person {i}", "tags": ["a" * (i % 7), "é\n" * (i % 3)], "at": {"x": i / 7, "y": -i * 1e-3, "ok": i % 3 == 0},
           "scores": [i * k % 101 for k in range(12)], "none": None} for i in range(200)]
total = 0
for i in range(int(sys.argv[1])):
    people[i % 200]["id"] += 1
    text = json.dumps(people, sort_keys=bool(i % 2))
    back = json.loads(text)
    total += len(text) + back[i % 200]["scores"][3]
print(total)
