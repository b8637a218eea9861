"""The job of bench_job.c, asked of a llama.cpp server: prompts of 200 shared and 150 own tokens, three candidates of 128
tokens each, with parallel slots and the server's prompt cache.

    llama-server -m MODEL.gguf -t 2 -np 24 -c 12288 --port 8080 &
    python3 tests/bench/job_peer.py http://127.0.0.1:8080 [ROWS [CONCURRENCY]]      prints name,value,unit
"""
import concurrent.futures
import json
import sys
import time
import urllib.request

SHARED, OWN, CANDIDATES, TOKENS, VOCAB = 200, 150, 3, 128, 32000


def prompt(row):
    places = [i if i < SHARED else i + row * OWN for i in range(SHARED + OWN)]
    return [1000 + at * 7919 % (VOCAB - 1000) for at in places]


def ask(url, row, candidate):
    body = {"prompt": prompt(row), "n_predict": TOKENS, "temperature": 0.6, "top_k": 50, "seed": candidate + 1,
            "cache_prompt": True, "ignore_eos": True}
    request = urllib.request.Request(url + "/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)["tokens_predicted"]


def main():
    url = sys.argv[1]
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    concurrency = int(sys.argv[3]) if len(sys.argv) > 3 else 24
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        asked = [pool.submit(ask, url, row, c) for row in range(rows) for c in range(CANDIDATES)]
        made = sum(one.result() for one in asked)
    seconds = time.monotonic() - start
    print(f"peer_cot_rows,{rows / seconds:.3f},rows/s")
    print(f"peer_cot_made,{made / seconds:.1f},tokens/s")


if __name__ == "__main__":
    main()
