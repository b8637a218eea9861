/*
 * Walks the B+trees of an LMDB file with every bound checked. Invariant: no byte outside the map is
 * read, whatever the file holds, and the walk ends, because a page is visited at most once.
 */
#include "common/store/cot_check.h"

#include "common/base/file.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    PAGE_HEAD = 16,
    NODE_HEAD = 8,
    DB_BYTES = 48,
    META_BYTES = PAGE_HEAD + 136,
    DEPTH_MAX = 32,
    TRIES = 20,
};
enum { P_BRANCH = 1, P_LEAF = 2, P_OVERFLOW = 4, P_META = 8, P_KINDS = 0x6f };
enum { F_BIGDATA = 1, F_SUBDATA = 2 };
#define MAGIC 0xBEEFC0DEu
#define NO_PAGE UINT64_MAX
#define MAP_BYTES_MAX ((uint64_t)1 << 42)

typedef enum tree_kind { FREE_TREE, MAIN_TREE, TABLE_TREE } tree_kind;

typedef struct walk {
    const uint8_t *bytes;
    const char *path;
    uint64_t pages_n; /* whole pages in the file */
    uint64_t last_page, txn;
    size_t page_bytes;
    uint8_t *seen; /* one bit per page */
    lcf_str last;  /* key of the tree being walked; no data before its first */
    lcf_err *err;
} walk;

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32_at(const uint8_t *p)
{
    return u16_at(p) | (uint32_t)u16_at(p + 2) << 16;
}

static uint64_t u64_at(const uint8_t *p)
{
    return u32_at(p) | (uint64_t)u32_at(p + 4) << 32;
}

static lcf_status damaged(walk *w, uint64_t page, const char *what)
{
    return LCF_FAIL(w->err, LCF_EFORMAT, "%s: truncated or damaged at page %llu: %s", w->path,
                    (unsigned long long)page, what);
}

static lcf_status mark(walk *w, uint64_t page)
{
    if (page < 2 || page > w->last_page)
        return damaged(w, page, "page number out of range");
    if (page >= w->pages_n)
        return damaged(w, page, "the file ends before it");
    if (w->seen[page / 8] & 1 << page % 8)
        return damaged(w, page, "used twice");
    w->seen[page / 8] |= (uint8_t)(1 << page % 8);
    return LCF_OK;
}

static lcf_status check_overflow(walk *w, const uint8_t **data, uint64_t page, uint64_t bytes)
{
    const uint8_t *p;
    uint64_t n;
    lcf_status status = mark(w, page);

    if (status)
        return status;
    p = w->bytes + page * w->page_bytes;
    n = u32_at(p + 12);
    if ((u16_at(p + 10) & P_KINDS) != P_OVERFLOW || u64_at(p) != page || n == 0 ||
        n > w->pages_n - page || bytes + PAGE_HEAD > n * w->page_bytes)
        return damaged(w, page, "no overflow page of that size");
    for (uint64_t i = 1; i < n && !status; i++)
        status = mark(w, page + i);
    *data = p + PAGE_HEAD;
    return status;
}

/* The pages a transaction has freed: data[0] of them. They must not be in use. */
static lcf_status check_free_list(walk *w, uint64_t page, const uint8_t *data, uint64_t bytes)
{
    uint64_t n = bytes >= 8 ? u64_at(data) : 0;

    if (bytes < 8 || n > bytes / 8 - 1)
        return damaged(w, page, "free list longer than its node");
    for (uint64_t i = 1; i <= n; i++) {
        uint64_t freed = u64_at(data + 8 * i);
        lcf_status status = LCF_OK;
        if (freed < w->pages_n || freed > w->last_page) /* else: freed before it was ever written */
            status = mark(w, freed);
        if (status)
            return status;
    }
    return LCF_OK;
}

/* Keys rise through a tree: LMDB searches by that, and whoever walks from key to key ends by it. */
static lcf_status check_order(walk *w, uint64_t page, lcf_str key)
{
    const lcf_str last = w->last;
    const size_t shared = last.len < key.len ? last.len : key.len;
    const int order = last.data ? memcmp(last.data, key.data, shared) : -1;

    w->last = key;
    return order < 0 || (order == 0 && last.len < key.len) ? LCF_OK
                                                           : damaged(w, page, "keys out of order");
}

static lcf_status check_tree(walk *w, tree_kind kind, const uint8_t *db);

static lcf_status check_leaf(walk *w, tree_kind kind, uint64_t page, const uint8_t *node,
                             size_t room)
{
    uint64_t bytes = u32_at(node), inside;
    unsigned flags = u16_at(node + 4);
    const uint8_t *data = node + NODE_HEAD + u16_at(node + 6);
    lcf_status status = LCF_OK;

    inside = flags & F_BIGDATA ? 8 : bytes;
    if (flags > (F_BIGDATA | F_SUBDATA) || NODE_HEAD + u16_at(node + 6) + inside > room)
        return damaged(w, page, "a node leaves its page");
    if (kind != FREE_TREE) /* whose keys are numbers */
        status = check_order(w, page, (lcf_str){(const char *)node + NODE_HEAD, u16_at(node + 6)});
    if (!status && flags & F_BIGDATA)
        status = check_overflow(w, &data, u64_at(data), bytes);
    if (status)
        return status;
    if (kind == FREE_TREE)
        return check_free_list(w, page, data, bytes);
    if (kind != MAIN_TREE)
        return flags & F_SUBDATA ? damaged(w, page, "a table inside a table") : LCF_OK;
    if (!(flags & F_SUBDATA) || bytes != DB_BYTES)
        return damaged(w, page, "an entry that is no table");
    return check_tree(w, TABLE_TREE, data);
}

static lcf_status check_page(walk *w, tree_kind kind, uint64_t page, unsigned depth)
{
    const uint8_t *p;
    unsigned flags;
    size_t lower, upper;
    lcf_status status = mark(w, page);

    if (status)
        return status;
    p = w->bytes + page * w->page_bytes;
    flags = u16_at(p + 10) & P_KINDS;
    lower = u16_at(p + 12);
    upper = u16_at(p + 14);
    if (flags != (depth == 1 ? P_LEAF : P_BRANCH) || u64_at(p) != page)
        return damaged(w, page, "not the kind of page its parent says");
    if (lower < PAGE_HEAD + 2 || lower % 2 || lower > upper || upper > w->page_bytes)
        return damaged(w, page, "impossible bounds");
    for (size_t at = PAGE_HEAD; at < lower && !status; at += 2) {
        size_t offset = u16_at(p + at), room = w->page_bytes - offset;
        if (offset < upper || offset > w->page_bytes - NODE_HEAD || offset % 2)
            return damaged(w, page, "a node outside of its page");
        if (depth == 1)
            status = check_leaf(w, kind, page, p + offset, room);
        else if (NODE_HEAD + (size_t)u16_at(p + offset + 6) > room)
            status = damaged(w, page, "a key leaves its page");
        else
            status = check_page(
                w, kind, u32_at(p + offset) | (uint64_t)u16_at(p + offset + 4) << 32, depth - 1);
    }
    return status;
}

static lcf_status check_tree(walk *w, tree_kind kind, const uint8_t *db)
{
    unsigned flags = u16_at(db + 4), depth = u16_at(db + 6);
    uint64_t root = u64_at(db + 40), entries = u64_at(db + 32);
    const lcf_str outer = w->last;
    lcf_status status;

    /* The free tree has integer keys (8); all else is plain. */
    if (flags & ~(kind == FREE_TREE ? 8u : 0u))
        return damaged(w, root, "a tree of another kind");
    if (root == NO_PAGE)
        return depth || entries ? damaged(w, root, "an empty tree with entries") : LCF_OK;
    if (depth == 0 || depth > DEPTH_MAX)
        return damaged(w, root, "impossible depth");
    w->last = (lcf_str){NULL, 0};
    status = check_page(w, kind, root, depth);
    w->last = outer;
    return status;
}

/* One meta page: of this format and data version. */
static lcf_status check_meta(walk *w, const uint8_t *p)
{
    uint32_t version = u32_at(p + PAGE_HEAD + 4) & 0x7fffffff;

    if (u32_at(p + PAGE_HEAD) != MAGIC || !(u16_at(p + 10) & P_META))
        return LCF_FAIL(w->err, LCF_EFORMAT, "%s: no LMDB file, or damaged at its head", w->path);
    if (version != 1)
        return LCF_FAIL(w->err, LCF_EVERSION, "%s: LMDB data version %u; this program reads 1",
                        w->path, version);
    return LCF_OK;
}

/* The newer of the two meta pages, as LMDB chooses it. */
static lcf_status newest_meta(const uint8_t **out, walk *w, size_t bytes_n)
{
    size_t page_bytes = 0;
    uint64_t map_bytes;
    lcf_status status;

    if (bytes_n >= META_BYTES)
        page_bytes = u32_at(w->bytes + PAGE_HEAD + 24);
    if (page_bytes < 256 || page_bytes > 32768 || page_bytes & (page_bytes - 1) ||
        bytes_n < 2 * page_bytes)
        return LCF_FAIL(w->err, LCF_EFORMAT, "%s: no LMDB file, or truncated at its head", w->path);
    *out = NULL;
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *p = w->bytes + i * page_bytes;
        status = check_meta(w, p);
        if (!status && u32_at(p + PAGE_HEAD + 24) != page_bytes)
            status = LCF_FAIL(w->err, LCF_EFORMAT, "%s: damaged at its head: two sizes of a page",
                              w->path);
        if (status)
            return status;
        if (!*out || u64_at(p + PAGE_HEAD + 128) > u64_at(*out + PAGE_HEAD + 128))
            *out = p;
    }
    w->page_bytes = page_bytes;
    w->pages_n = bytes_n / page_bytes;
    w->last_page = u64_at(*out + PAGE_HEAD + 120);
    w->txn = u64_at(*out + PAGE_HEAD + 128);
    map_bytes = u64_at(*out + PAGE_HEAD + 16);
    if (map_bytes > MAP_BYTES_MAX || w->last_page >= map_bytes / page_bytes)
        return LCF_FAIL(w->err, LCF_EFORMAT, "%s: damaged at its head: impossible sizes", w->path);
    return LCF_OK;
}

lcf_status lcf_cot_check_bytes(uint64_t *txn, const uint8_t *bytes, size_t n, const char *name,
                               lcf_err *err)
{
    walk w = {.bytes = bytes, .path = name, .err = err};
    const uint8_t *best = NULL;
    lcf_status status = newest_meta(&best, &w, n);

    *txn = w.txn;
    if (status)
        return status;
    w.seen = lcf_alloc_zero(w.pages_n / 8 + 1, 1);
    if (!w.seen)
        return LCF_FAIL(err, LCF_ENOMEM, "page map of %s", name);
    /* Pages in use first, so that a free list that names one of them is caught at the list. */
    status = check_tree(&w, MAIN_TREE, best + PAGE_HEAD + 24 + DB_BYTES);
    if (!status)
        status = check_tree(&w, FREE_TREE, best + PAGE_HEAD + 24);
    free(w.seen);
    return status;
}

lcf_status lcf_cot_check(const char *path, lcf_err *err)
{
    lcf_status status = LCF_OK;
    uint64_t failed_txn = 0;

    for (int i = 0; i < TRIES; i++) {
        lcf_map map = {NULL, 0};
        uint64_t txn;
        status = lcf_map_open(&map, path, err);
        if (status)
            return status;
        status = lcf_cot_check_bytes(&txn, map.data, map.bytes_n, path, err);
        lcf_map_close(&map);
        /* Failing twice in the same state is damage; in another one, a writer passed us by. */
        if (status != LCF_EFORMAT || (i && txn == failed_txn))
            return status;
        failed_txn = txn;
    }
    return status;
}

/* ---- salvage ---- */

/* The value of a node that lies on overflow pages; false when it cannot. */
static bool overflow_value(lcf_str *out, const walk *w, uint64_t page, uint64_t bytes)
{
    if (page < 2 || page >= w->pages_n || bytes > (w->pages_n - page) * w->page_bytes - PAGE_HEAD)
        return false;
    *out = (lcf_str){(const char *)w->bytes + page * w->page_bytes + PAGE_HEAD, (size_t)bytes};
    return true;
}

static lcf_status salvage_node(const walk *w, const uint8_t *node, size_t room, lcf_cot_salvaged fn,
                               void *arg)
{
    const uint64_t bytes = u32_at(node);
    const unsigned flags = u16_at(node + 4);
    const size_t key_bytes = u16_at(node + 6), inside = flags & F_BIGDATA ? 8 : (size_t)bytes;
    const lcf_str key = {(const char *)node + NODE_HEAD, key_bytes};
    lcf_str value = {(const char *)node + NODE_HEAD + key_bytes, inside};

    if (flags & ~(unsigned)F_BIGDATA || NODE_HEAD + key_bytes + inside > room)
        return LCF_OK;
    if (flags & F_BIGDATA && !overflow_value(&value, w, u64_at((const uint8_t *)value.data), bytes))
        return LCF_OK;
    return fn(arg, key, value);
}

static lcf_status salvage_page(const walk *w, const uint8_t *p, lcf_cot_salvaged fn, void *arg)
{
    const size_t lower = u16_at(p + 12);
    lcf_status status = LCF_OK;

    if ((u16_at(p + 10) & P_KINDS) != P_LEAF || lower < PAGE_HEAD || lower > w->page_bytes)
        return LCF_OK;
    for (size_t at = PAGE_HEAD; at + 2 <= lower && !status; at += 2) {
        const size_t offset = u16_at(p + at);

        if (offset >= lower && offset + NODE_HEAD <= w->page_bytes)
            status = salvage_node(w, p + offset, w->page_bytes - offset, fn, arg);
    }
    return status;
}

/* Marks the pages that the newest state does not use, as far as its free list can be read. */
static void mark_free(walk *w, size_t bytes_n)
{
    lcf_err unread = LCF_ERR_INIT;
    const uint8_t *best;

    w->err = &unread;
    if (!newest_meta(&best, w, bytes_n) && !check_tree(w, FREE_TREE, best + PAGE_HEAD + 24))
        return;
    memset(w->seen, 0, w->pages_n / 8 + 1); /* half a list may name pages in use */
}

lcf_status lcf_cot_salvage(const uint8_t *bytes, size_t n, const char *name, lcf_cot_salvaged fn,
                           void *arg, lcf_err *err)
{
    walk w = {.bytes = bytes, .path = name, .err = err};
    lcf_status status = LCF_OK;

    /* The head tells the size of a page; without it, that of nearly all machines is tried. */
    w.page_bytes = n >= META_BYTES ? u32_at(bytes + PAGE_HEAD + 24) : 0;
    if (w.page_bytes < 256 || w.page_bytes > 32768 || w.page_bytes & (w.page_bytes - 1))
        w.page_bytes = 4096;
    w.pages_n = n / w.page_bytes;
    if (w.pages_n < 3)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: too short to hold any record", name);
    w.seen = lcf_alloc_zero(n / 256 / 8 + 1, 1); /* for the smallest pages there can be */
    if (!w.seen)
        return LCF_FAIL(err, LCF_ENOMEM, "page map of %s", name);
    mark_free(&w, n);
    for (uint64_t page = 2; page < w.pages_n && !status; page++)
        if (!(w.seen[page / 8] & 1 << page % 8))
            status = salvage_page(&w, bytes + page * w.page_bytes, fn, arg);
    free(w.seen);
    return status;
}
