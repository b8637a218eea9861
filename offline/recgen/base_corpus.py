#!/usr/bin/python3
"""Text of the data folder as files that `llmcf tune --source` reads: base_corpus.py DATA OUT.

Writes what is there: movies.txt and beauty.txt (plain text), xrec.jsonl and reasons.jsonl (instructions). The data sets keep
their own licences: what is made of them stays with them.
"""

import csv
import json
import os
import sys


def clean(text):
    """Without the fences and the half-said words that some generated texts end with."""
    text = text.split("```")[0].split(" | ")[0].strip().strip('"').strip()
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1] if end > 0 else text


def movies(path):
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["summary"]:
                yield f"{row['name'].strip()} ({row['year']}), {row['cleaned_genre']}. {clean(row['summary'])}"


def beauty(items, users):
    for item in json.load(open(items, encoding="utf-8")).values():
        yield f"{item['title']} by {item['brand']}.\n{clean(item['description'])}"
    for profile in json.load(open(users, encoding="utf-8")).values():
        yield clean(profile)


def xrec(path):
    for line in open(path, encoding="utf-8"):
        row = json.loads(line)
        yield {
            "instruction": f"Explain why the user would buy \"{row['title']}\".",
            "input": f"User: {row['user_summary']}\nItem: {row['item_summary']}",
            "output": row["explanation"],
        }


def reasons(path):
    """The candidate with the best logged reward; a reward of 0 is the best there is."""
    for line in open(path, encoding="utf-8"):
        row = json.loads(line)
        best = max(row["cots"], key=lambda c: c["reward"])
        answer = clean(best["text"])
        if len(answer) > 100:
            question = row["prompt"].rsplit("\n\n", 1)
            yield {"instruction": question[-1], "input": question[0], "output": answer}


def write(path, rows):
    rows = list(rows)
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            if isinstance(row, dict):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                file.write(" \n".join(line for line in row.splitlines() if line.strip()) + "\n\n")
    print(f"{path}: {len(rows)} rows, {os.path.getsize(path)} bytes", file=sys.stderr)


def main():
    data, out = sys.argv[1], sys.argv[2]
    cot = os.path.join(data, "cot")
    made = {
        "movies.txt": (movies, [os.path.join(data, "ml-latest-small", "llm_movie_summaries_mixtral.csv")]),
        "beauty.txt": (beauty, [os.path.join(cot, "reasoningrec_beauty", name)
                                for name in ("processed_item_information.json", "user_profile_summary.json")]),
        "xrec.jsonl": (xrec, [os.path.join(cot, "xrec_amazon_tst.jsonl")]),
        "reasons.jsonl": (reasons, [os.path.join(cot, "reason4rec_cot.jsonl")]),
    }
    os.makedirs(out, exist_ok=True)
    for name, (read, paths) in made.items():
        if all(os.path.exists(path) for path in paths):
            write(os.path.join(out, name), read(*paths))


if __name__ == "__main__":
    main()
