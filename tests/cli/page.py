#!/usr/bin/env python3
"""The page for people, in a browser: page.py BROWSER URL. Users are listed there; some titles of the catalogue are hostile."""
import json
import sys
import urllib.request

from browser_drive import Browser

ITEMS = "document.querySelectorAll('#results > li')"
url = sys.argv[2]


def ask(path, body=None):
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(url + path, data) as answer:
        return json.load(answer)


def check(what, holds):
    if not holds:
        sys.exit("FAILED: " + what)


def percent(x):
    return "%.1f %%" % (100 * x)


def ranked(b):
    b.wait(ITEMS + ".length > 0 && document.getElementById('message').textContent.startsWith('Arm')")


def text(b, selector):
    return b.value(f"document.querySelector({json.dumps(selector)}).textContent")


def by_mouse(b):
    """A user of those offered; what is shown is what the server says."""
    b.open(url)
    b.wait("document.querySelectorAll('#samples button').length > 3")
    user = text(b, "#samples button:nth-child(3)")
    b.click("#samples button:nth-child(3)")
    ranked(b)
    items = [i["item_id"] for i in ask("v1/items")["items"]]
    answer = ask("v1/explain", {"user_id": user, "candidates": items, "top": 20})
    check("20 results", b.value(ITEMS + ".length") == 20)
    check("one chip per event of the history",
          b.value("document.querySelectorAll('#history .chip').length") == len(answer["history"]) > 0)
    for i, result in enumerate(answer["results"]):
        line = f"#results > li:nth-child({i + 1}) > details > summary "
        check(f"title of {i}", result["title"] in text(b, line + ".name"))
        check(f"score of {i}", text(b, line + ".number") == percent(result["score"]))
    check("nothing is open", b.value("document.querySelectorAll('.example').length") == 0)
    b.click("#results > li:nth-child(2) summary")
    b.wait("document.querySelectorAll('.example').length > 0")
    examples = answer["results"][1]["examples"]
    check("its examples", b.value("document.querySelectorAll('.example').length") == len(examples) == 4)
    for i, e in enumerate(examples):
        shown = text(b, f".examples > :nth-child({i + 1})")
        for part in (e["title"], "Liked" if e["label"] else "Not liked", percent(e["attention"]), percent(e["score_without"]), e["cot"]):
            check(f"example {i} shows {part}", part in shown)
    check("a bar as long as the attention",
          abs(b.value("parseFloat(document.querySelector('.bar.attention i').style.width)") - 100 * examples[0]["attention"]) < 1e-3)
    b.click("#results > li:nth-child(2) summary")
    b.wait("!document.querySelector('#results details[open]')")


def by_keys(b):
    """No mouse: type a user, Enter, go to the ranking, down, open, close."""
    b.open(url)
    b.wait("document.querySelectorAll('#samples button').length > 3 && document.activeElement.id === 'user'")
    b.type("u7")
    b.press("Enter")
    ranked(b)
    check("the address says what was asked", "user=u7" in b.value("location.hash"))
    for _ in range(40):
        if b.value("document.activeElement.matches('#results summary')"):
            break
        b.press("Tab")
    check("Tab leads to the ranking", b.value("document.activeElement.matches('#results > li:first-child summary')"))
    b.press("ArrowDown")
    b.press("ArrowDown")
    b.press("ArrowUp")
    check("arrows go from result to result", b.value("document.activeElement.matches('#results > li:nth-child(2) summary')"))
    b.press("Enter")
    b.wait("document.querySelectorAll('#results > li:nth-child(2) .example').length > 0")


def hostile(b):
    """Titles are text, wherever they stand."""
    found = ask("v1/items/%3Cscript")["items"]
    check("there are hostile titles", len(found) > 3 and "<script>" in found[0]["title"])
    b.open(url)
    b.wait("document.querySelectorAll('#samples button').length > 3")
    b.click("form details summary")
    b.click("#candidates")
    b.type(" ".join(i["item_id"] for i in found) + " nothing-of-that-name")
    check("they are counted", text(b, "#candidates-what") == f"{len(found) + 1} of your own")
    b.click(".fields button")
    ranked(b)
    b.value(f"[...{ITEMS}].forEach((i) => i.firstChild.open = true)")
    b.wait("document.querySelectorAll('.example').length > 3")
    check("they stand there as they are", b.value("document.body.innerText.includes('<script>document.title=')"))
    check("they became nothing", b.value("document.scripts.length") == 1 and b.value("document.images.length") == 0)
    check("they did nothing", b.value("document.title") == "llmcf: why this ranking?")
    check("what is unknown is flagged", b.value("document.querySelector('.flag').textContent") == "unknown_item")


def look(b):
    b.open(url + "#user=u7&top=10&open=1")
    b.wait("document.querySelectorAll('.example').length > 0")
    check("ten of them", b.value(ITEMS + ".length") == 10)
    b.shot("light.png")
    b.scheme("dark")
    b.shot("dark.png")
    check("nothing is wider than the page", b.value("document.documentElement.scrollWidth <= innerWidth"))
    b.call("Emulation.setDeviceMetricsOverride", width=420, height=900, deviceScaleFactor=1, mobile=True)
    check("nor on a small screen", b.value("document.documentElement.scrollWidth <= innerWidth"))


with Browser(sys.argv[1], "profile") as browser:
    for part in (by_mouse, by_keys, hostile, look):
        part(browser)
    check("no complaint: " + "; ".join(browser.complaints), not browser.complaints)
    elsewhere = [r for r in browser.requests if not r.startswith((url, "about:", "data:"))]
    check("nothing is asked elsewhere: " + " ".join(elsewhere), not elsewhere and len(browser.requests) > 10)
