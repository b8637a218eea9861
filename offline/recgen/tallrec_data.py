#!/usr/bin/python3
"""Data for the TALLRec experiments that are not in its own files.

tallrec_data.py log ML100K TALLREC CHOSEN OUT
    The rows of TALLRec's movie files as a raw log that `llmcf prepare` reads, with the users and items that the files leave
    out: MovieLens-100K, windows of ten ratings and a target in each user's order of time, the last 10,000 windows, cut
    into 8,000, 1,000 and 1,000. Of the training rows those whose questions are in CHOSEN (what `llmcf export-sft` wrote).
    Every row is held against the published one: another order would be another data set.
tallrec_data.py beauty AMAZON OUT
    beauty_train.json and beauty_test.json in TALLRec's form from items.tsv and interactions.tsv: the user's last item with
    Yes, or a random other item with No, in turn; at most ten items before it.
"""

import json
import os
import random
import sys

WINDOW, TRAIN, VALID, TEST = 10, 8000, 1000, 1000
FIRST = 10000  # of the windows, from the end


def windows(ml100k):
    titles = {}
    with open(os.path.join(ml100k, "u.item"), encoding="latin-1") as file:
        for line in file:
            fields = line.split("|")
            titles[fields[0]] = fields[1]
    users = {}
    with open(os.path.join(ml100k, "u.data")) as file:
        for line in file:
            user, item, rating, time = line.split()
            users.setdefault(int(user), []).append((int(time), item, int(rating)))
    for user in users:  # in the order of their first rating in the file
        ratings = sorted(users[user], key=lambda r: r[0])
        for i in range(WINDOW, len(ratings)):
            time, item, rating = ratings[i]
            yield user, item, titles[item], int(rating > 3), time


def log(ml100k, tallrec, chosen, out):
    rows = list(windows(ml100k))[-FIRST:]
    published = []
    for name in ("movie_train_rebuilt", "movie_valid", "movie_test"):
        published += json.load(open(os.path.join(tallrec, name + ".json"), encoding="utf-8"))
    for i, ((_, _, title, label, _), row) in enumerate(zip(rows, published, strict=True)):
        if not row["input"].endswith(f'movie "{title}"?') or row["output"] != ("Yes." if label else "No."):
            sys.exit(f"row {i + 1} is about {title!r} here and is {row!r} as published")
    wanted = {row["input"] for row in json.load(open(chosen, encoding="utf-8"))}
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "items.tsv"), "w", encoding="utf-8") as file:
        print("item_id", "title", sep="\t", file=file)
        for item, title in sorted({(item, title) for _, item, title, _, _ in rows}, key=lambda x: int(x[0])):
            print(item, title, sep="\t", file=file)
    kept = 0
    with open(os.path.join(out, "interactions.tsv"), "w", encoding="utf-8") as file:
        print("user_id", "item_id", "timestamp", "rating", "split", sep="\t", file=file)
        for i, (user, item, _, label, time) in enumerate(rows):
            split = "train" if i < TRAIN else "valid" if i < TRAIN + VALID else "test"
            if split == "train" and published[i]["input"] not in wanted:
                continue
            kept += split == "train"
            print(user, item, time, label, split, sep="\t", file=file)
    print(f"{out}: {kept} training rows", file=sys.stderr)


def beauty(amazon, out):
    draw = random.Random(2023)
    titles, users = {}, {}
    with open(os.path.join(amazon, "items.tsv"), encoding="utf-8") as file:
        next(file)
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if fields[2]:
                titles[fields[0]] = fields[2]
    with open(os.path.join(amazon, "interactions.tsv"), encoding="utf-8") as file:
        next(file)
        for line in file:
            user, item, _ = line.split("\t")
            if item in titles:
                users.setdefault(user, []).append(item)
    items = sorted(titles)
    rows = []
    for user in draw.sample(sorted(users), len(users)):
        history, target = users[user][:-1][-WINDOW:], users[user][-1]
        if len(history) < 3:
            continue
        label = len(rows) % 2 == 0
        while not label and target in users[user]:
            target = draw.choice(items)
        rows.append({
            "instruction": "Given the user's preference and unpreference, identify whether the user will like the target "
                           "product by answering \"Yes.\" or \"No.\".",
            "input": "User Preference: " + ", ".join(f'"{titles[i]}"' for i in history) +
                     f'\nUser Unpreference: \nWhether the user will like the target product "{titles[target]}"?',
            "output": "Yes." if label else "No.",
        })
    os.makedirs(out, exist_ok=True)
    for name, part in (("beauty_train", rows[1000:9000]), ("beauty_test", rows[:1000])):
        with open(os.path.join(out, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(part, file, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    {"log": log, "beauty": beauty}[sys.argv[1]](*sys.argv[2:])
