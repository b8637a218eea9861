/*
 * Features: rows of a batch as index arrays and text vectors, the one way every side takes them.
 *
 * Invariant: indices are in range whatever the rows say. An item or user that a table does not know
 * is row 0 of that table; an item that the catalogue does not know is item 0; item 0 never stands
 * in a history; of a history longer than LCF_HISTORY_MAX the most recent items count.
 */
#include "common/base/mem.h"
#include "common/model/backbone.h"

#include <string.h>

#define EMPTY UINT32_MAX

/* ---- id -> position of its first appearance ---- */

typedef struct id_map {
    uint32_t *id, *position; /* id EMPTY where free; the size is a power of two */
    size_t mask;
    uint32_t n;
} id_map;

static bool id_map_init(id_map *map, lcf_tape *tape, size_t ids_max)
{
    size_t size = 16;

    while (size < 2 * ids_max)
        size *= 2;
    map->id = lcf_tape_alloc(tape, size, sizeof(uint32_t));
    map->position = lcf_tape_alloc(tape, size, sizeof(uint32_t));
    map->mask = size - 1;
    map->n = 0;
    if (!map->id || !map->position)
        return false;
    memset(map->id, 0xff, size * sizeof(uint32_t));
    return true;
}

/* The position of an id; *fresh says that it is new and got the next one. */
static uint32_t id_map_put(bool *fresh, id_map *map, uint32_t id)
{
    size_t at = (size_t)((id * 0x9e3779b97f4a7c15ull) >> 32) & map->mask;

    while (map->id[at] != EMPTY && map->id[at] != id)
        at = (at + 1) & map->mask;
    *fresh = map->id[at] == EMPTY;
    if (*fresh) {
        map->id[at] = id;
        map->position[at] = map->n++;
    }
    return map->position[at];
}

/* ---- building ---- */

typedef struct builder {
    ranker_batch *b;
    lcf_tape *tape;
    const lcf_ranker *r;
    const lcf_ranker_source *source;
    const lcf_ranker_row *rows;
    id_map items;
} builder;

static uint32_t *alloc_u32(lcf_tape *tape, size_t n)
{
    return lcf_tape_alloc(tape, n ? n : 1, sizeof(uint32_t));
}

static uint32_t known(uint32_t id, uint32_t limit)
{
    return id < limit ? id : 0;
}

/* What a row's item is by its index: one of the catalogue, or one that is described. */
typedef struct item_facts {
    uint32_t id, brand; /* id 0 of one that is described */
    const uint32_t *categories;
    size_t categories_n;
    const float *text_vec; /* NULL where the source has no vectors */
} item_facts;

static item_facts facts_of(const lcf_ranker_source *source, uint32_t item)
{
    const lcf_catalogue *c = source->catalogue;
    const lcf_embeddings *v = source->item_vectors;

    if (item >= c->items_n) {
        const lcf_ranker_item *d = &source->described[item - c->items_n];

        return (item_facts){0, d->brand, d->categories, d->categories_n, d->text_vec};
    }
    return (item_facts){item, c->item_brand[item], c->item_categories + c->category_offsets[item],
                        (size_t)(c->category_offsets[item + 1] - c->category_offsets[item]),
                        v ? v->vectors + item * v->dim : NULL};
}

/* The batch's index of an item that a history says this of; 0: nothing. */
static uint32_t put_item(builder *w, uint32_t item, uint8_t label)
{
    const lcf_ranker_source *source = w->source;
    const uint32_t id = known(item, source->catalogue->items_n + (uint32_t)source->described_n);
    bool fresh;
    const uint32_t position =
        id_map_put(&fresh, &w->items, id * LCF_EVENT_LABELS_N + known(label, LCF_EVENT_LABELS_N));

    if (fresh) {
        w->b->catalogue_item[position] = id;
        w->b->item_label[position] = known(label, LCF_EVENT_LABELS_N);
    }
    return position;
}

/* An example of a row. */
typedef struct placed {
    uint32_t id;
    float similarity;
} placed;

/* Where an example stands among others: a number, by its upper half first. */
typedef struct standing {
    uint64_t upper, lower;
} standing;

static uint64_t big_endian(const uint8_t *bytes)
{
    uint64_t x = 0;

    for (size_t i = 0; i < 8; i++)
        x = x << 8 | bytes[i];
    return x;
}

static standing standing_of(const lcf_examples *e, lcf_example_order by, placed p)
{
    const uint8_t *key = e->key[p.id].bytes;
    uint32_t bits;

    if (by == LCF_ORDER_TIME)
        return (standing){(uint64_t)e->time[p.id] ^ UINT64_C(1) << 63, 0};
    if (by == LCF_ORDER_KEY)
        return (standing){big_endian(key), big_endian(key + 8)};
    p.similarity += 0.0f; /* there is one zero */
    memcpy(&bits, &p.similarity, sizeof(bits));
    return (standing){bits >> 31 ? ~bits : bits | UINT32_C(1) << 31, 0};
}

/* Whether a comes after b in the sequence. Equal ones: by index, so that the order is total. No
 * branches: which way they go cannot be foreseen. */
static size_t comes_after(standing a, uint32_t a_id, standing b, uint32_t b_id)
{
    const bool lower = (a.lower > b.lower) | ((a.lower == b.lower) & (a_id > b_id));

    return (a.upper > b.upper) | ((a.upper == b.upper) & lower);
}

/* The examples of a row that are there, in order; returns how many. */
static size_t order_examples(placed *out, const lcf_examples *e, const lcf_ranker_row *row,
                             const lcf_ranker_config *c)
{
    standing all[LCF_EXAMPLES_K_MAX];
    placed there[LCF_EXAMPLES_K_MAX];
    size_t at[LCF_EXAMPLES_K_MAX] = {0}, n = 0;

    for (size_t i = 0; row->examples && i < c->k; i++) {
        const placed p = {row->examples[i], row->similarities ? row->similarities[i] : 0.0f};

        if (p.id >= e->n) /* LCF_EXAMPLE_NONE, too */
            continue;
        there[n] = p;
        all[n] = standing_of(e, c->order, p);
        for (size_t before = 0; before < n; before++) {
            const size_t after = comes_after(all[before], there[before].id, all[n], p.id);

            at[before] += after;
            at[n] += 1 - after;
        }
        n++;
    }
    for (size_t i = 0; i < n; i++)
        out[at[i]] = there[i];
    return n;
}

/* Fills slot_offsets, slot_example, padding and wanted from per-row lists of unique examples. */
static bool place_slots(builder *w, const placed *examples, const uint32_t *counts, size_t k)
{
    ranker_batch *b = w->b;
    const size_t slots = b->slots_n, per_slot = w->r->side->tokens_n;
    const size_t tokens = per_slot * slots + 1;
    size_t at = 0;

    b->slot_offsets = alloc_u32(w->tape, b->rows_n * slots + 1);
    b->slot_example = alloc_u32(w->tape, b->present_n);
    b->slot_similarity = lcf_tape_alloc(w->tape, b->present_n + 1, sizeof(float));
    b->wanted = alloc_u32(w->tape, b->present_n + b->rows_n);
    if (b->present_n < b->rows_n * slots)
        b->padding = alloc_u32(w->tape, b->rows_n);
    if (!b->slot_offsets || !b->slot_example || !b->slot_similarity || !b->wanted ||
        (b->present_n < b->rows_n * slots && !b->padding))
        return false;
    b->slot_offsets[0] = 0;
    for (size_t row = 0; row < b->rows_n; row++) {
        const size_t empty = slots - counts[row];

        for (size_t slot = 0; slot < slots; slot++) {
            if (slot >= empty) {
                const placed *p = &examples[row * k + slot - empty];

                b->wanted[at] = (uint32_t)(row * tokens + per_slot * slot);
                b->slot_similarity[at] = p->similarity;
                b->slot_example[at++] = p->id;
            }
            b->slot_offsets[row * slots + slot + 1] = (uint32_t)at;
        }
        if (b->padding)
            b->padding[row] = (uint32_t)(per_slot * empty);
        b->wanted[b->present_n + row] = (uint32_t)(row * tokens + tokens - 1);
    }
    return true;
}

/* The batch's index of an example. */
static uint32_t put_example(ranker_batch *b, id_map *map, const lcf_examples *e, uint32_t id)
{
    bool fresh;
    const uint32_t position = id_map_put(&fresh, map, id);

    if (fresh) {
        b->example[position] = id;
        b->label[position] = e->label[id] != 0;
    }
    return position;
}

/* Asks the memory for what examples are ordered by: it lies anywhere among all of them. */
static void fetch_keys(const builder *w)
{
    const lcf_examples *e = w->source->examples;

    for (size_t row = 0; row < w->b->rows_n; row++)
        for (size_t i = 0; w->rows[row].examples && i < w->r->config.k; i++)
            if (w->rows[row].examples[i] < e->n)
                lcf_fetch(&e->key[w->rows[row].examples[i]], sizeof(*e->key));
}

/* Which examples the rows use, each once, and where. */
static bool build_examples(builder *w)
{
    ranker_batch *b = w->b;
    const lcf_examples *e = w->source->examples;
    const size_t k = w->r->config.k, all = b->rows_n * k;
    placed *examples = lcf_tape_alloc(w->tape, all, sizeof(*examples));
    uint32_t *counts = alloc_u32(w->tape, b->rows_n);
    id_map map;

    b->example = alloc_u32(w->tape, all);
    b->label = alloc_u32(w->tape, all);
    if (!examples || !counts || !b->example || !b->label || !id_map_init(&map, w->tape, all))
        return false;
    if (w->r->config.order == LCF_ORDER_KEY)
        fetch_keys(w);
    for (size_t row = 0; row < b->rows_n; row++) {
        counts[row] = (uint32_t)order_examples(examples + row * k, e, &w->rows[row], &w->r->config);
        b->present_n += counts[row];
        if (counts[row] > b->slots_n)
            b->slots_n = counts[row];
        for (size_t i = 0; i < counts[row] && !b->frozen; i++)
            examples[row * k + i].id = put_example(b, &map, e, examples[row * k + i].id);
    }
    b->examples_n = map.n;
    return place_slots(w, examples, counts, k);
}

/* Appends the most recent items of a history, without unknown ones; returns the number of entries
 * so far. */
static uint32_t put_history(builder *w, uint32_t at, const uint32_t *history, const uint8_t *labels,
                            size_t n)
{
    const bool labelled = labels && w->r->config.history_labels;

    for (size_t i = n > LCF_HISTORY_MAX ? n - LCF_HISTORY_MAX : 0; i < n; i++)
        if (known(history[i], w->source->catalogue->items_n))
            w->b->history_items[at++] = put_item(w, history[i], labelled ? labels[i] : 0);
    w->b->history_offsets[++w->b->histories_n] = at;
    return at;
}

static bool same_history(const lcf_ranker_row *a, const lcf_ranker_row *b)
{
    return a->history == b->history && a->history_n == b->history_n &&
           a->history_labels == b->history_labels;
}

/* How many rows of examples or vectors ahead memory is asked for one: they lie anywhere among all
 * of them. */
#define AHEAD 6

static void fetch(const void *memory, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64)
        __builtin_prefetch((const char *)memory + at);
}

static void fetch_example(const lcf_examples *e, uint32_t id)
{
    __builtin_prefetch(&e->user[id]);
    __builtin_prefetch(&e->item[id]);
    __builtin_prefetch(&e->history_n[id]);
    fetch(e->history + (size_t)id * LCF_HISTORY_MAX, LCF_HISTORY_MAX * sizeof(*e->history));
}

/* Users, target items and histories of rows and examples. */
static void fill_decisions(builder *w)
{
    ranker_batch *b = w->b;
    const lcf_examples *e = w->source->examples;
    const uint32_t users_n = w->r->config.users_n;
    uint32_t at = 0;

    b->history_offsets[0] = 0;
    for (size_t i = 0; i < b->rows_n; i++) {
        const lcf_ranker_row *row = &w->rows[i];

        b->user[i] = known(row->user, users_n);
        b->item[i] = put_item(w, row->item, 0);
        if (!i || !same_history(row, row - 1))
            at = put_history(w, at, row->history, row->history_labels, row->history_n);
        b->history[i] = (uint32_t)(b->histories_n - 1);
    }
    b->row_histories_n = b->histories_n;
    for (size_t i = 0; i < b->examples_n; i++) {
        const uint32_t id = b->example[i];

        if (i + AHEAD < b->examples_n)
            fetch_example(e, b->example[i + AHEAD]);
        b->user[b->rows_n + i] = known(e->user[id], users_n);
        b->item[b->rows_n + i] = put_item(w, e->item[id], 0);
        at = put_history(w, at, e->history + (size_t)id * LCF_HISTORY_MAX, NULL, e->history_n[id]);
        b->history[b->rows_n + i] = (uint32_t)(b->histories_n - 1);
    }
}

static bool build_decisions(builder *w)
{
    ranker_batch *b = w->b;
    const size_t entries = (b->rows_n + b->examples_n) * LCF_HISTORY_MAX;

    b->decisions_n = b->rows_n + b->examples_n;
    b->user = alloc_u32(w->tape, b->decisions_n);
    b->item = alloc_u32(w->tape, b->decisions_n);
    b->history = alloc_u32(w->tape, b->decisions_n);
    b->history_offsets = alloc_u32(w->tape, b->decisions_n + 1);
    b->history_items = alloc_u32(w->tape, entries);
    w->b->catalogue_item = alloc_u32(w->tape, entries + b->decisions_n);
    b->item_label = alloc_u32(w->tape, entries + b->decisions_n);
    if (!b->user || !b->item || !b->history || !b->history_offsets || !b->history_items ||
        !w->b->catalogue_item || !b->item_label ||
        !id_map_init(&w->items, w->tape, entries + b->decisions_n))
        return false;
    fill_decisions(w);
    b->items_n = w->items.n;
    return true;
}

/* How many categories item i has; asks memory for all that is known about it. */
static size_t ask_for_facts(const builder *w, size_t i)
{
    const lcf_catalogue *c = w->source->catalogue;
    const ranker_batch *b = w->b;
    const item_facts item = facts_of(w->source, b->catalogue_item[i]);

    if (i + AHEAD < b->items_n && b->catalogue_item[i + AHEAD] < c->items_n) {
        __builtin_prefetch(&c->category_offsets[b->catalogue_item[i + AHEAD]]);
        __builtin_prefetch(&c->item_brand[b->catalogue_item[i + AHEAD]]);
    }
    fetch(item.categories, item.categories_n * sizeof(*item.categories));
    return item.categories_n;
}

/* Table rows of the batch's items. */
static bool build_items(builder *w)
{
    ranker_batch *b = w->b;
    const lcf_ranker_config *config = &w->r->config;
    size_t categories = 0;
    uint32_t at = 0;

    for (size_t i = 0; i < b->items_n; i++)
        categories += ask_for_facts(w, i);
    b->item_id = alloc_u32(w->tape, b->items_n);
    b->item_brand = alloc_u32(w->tape, b->items_n);
    b->category_offsets = alloc_u32(w->tape, b->items_n + 1);
    b->categories = alloc_u32(w->tape, categories);
    if (!b->item_id || !b->item_brand || !b->category_offsets || !b->categories)
        return false;
    b->category_offsets[0] = 0;
    for (size_t i = 0; i < b->items_n; i++) {
        const item_facts item = facts_of(w->source, w->b->catalogue_item[i]);

        b->item_id[i] = known(item.id, config->items_n);
        b->item_brand[i] = known(item.brand, config->brands_n);
        for (size_t j = 0; j < item.categories_n; j++)
            if (known(item.categories[j], config->categories_n))
                b->categories[at++] = item.categories[j];
        b->category_offsets[i + 1] = at;
    }
    return true;
}

/* Pairs (row, history entry); neighbours that share a history share its entries. */
static bool build_pairs(builder *w)
{
    ranker_batch *b = w->b;
    uint32_t at = 0;

    b->pair_offsets = alloc_u32(w->tape, b->rows_n + 1);
    if (!b->pair_offsets)
        return false;
    b->pair_offsets[0] = 0;
    for (size_t i = 0; i < b->rows_n; i++) {
        const uint32_t *span = b->history_offsets + b->history[i];
        b->pair_offsets[i + 1] = b->pair_offsets[i] + (span[1] - span[0]);
    }
    b->pairs_n = b->pair_offsets[b->rows_n];
    b->pair_row = alloc_u32(w->tape, b->pairs_n);
    b->pair_entry = alloc_u32(w->tape, b->pairs_n);
    if (!b->pair_row || !b->pair_entry)
        return false;
    for (size_t i = 0; i < b->rows_n; i++) {
        const uint32_t *span = b->history_offsets + b->history[i];

        for (uint32_t entry = span[0]; entry < span[1]; entry++, at++) {
            b->pair_row[at] = (uint32_t)i;
            b->pair_entry[at] = entry;
        }
    }
    return true;
}

/* The catalogue's items of a history; returns how many. */
static size_t history_of(uint32_t items[LCF_HISTORY_MAX], const ranker_batch *b, uint32_t history)
{
    const uint32_t begin = b->history_offsets[history];
    const size_t n = b->history_offsets[history + 1] - begin;

    for (size_t i = 0; i < n; i++)
        items[i] = b->catalogue_item[b->history_items[begin + i]];
    return n;
}

/* hbar of the rows' histories, as lcf_embeddings_mean takes it for retrieval. */
static void history_texts(float *out, const builder *w)
{
    const lcf_embeddings *v = w->source->item_vectors;
    uint32_t items[2][LCF_HISTORY_MAX];
    size_t n = history_of(items[0], w->b, 0);

    for (uint32_t i = 0; i < w->b->row_histories_n; i++) {
        const size_t next =
            i + 1 < w->b->row_histories_n ? history_of(items[(i + 1) % 2], w->b, i + 1) : 0;

        for (size_t j = 0; j < next; j++)
            fetch(v->vectors + items[(i + 1) % 2][j] * v->dim, v->dim * sizeof(float));
        lcf_embeddings_mean(out + i * v->dim, v, items[i % 2], n);
        n = next;
    }
}

/* The text vector of decision i's target. */
static const float *target_text(const builder *w, size_t i)
{
    return facts_of(w->source, w->b->catalogue_item[w->b->item[i]]).text_vec;
}

/* Text vectors of target items, each once; returns how many. None when their tokens are frozen. */
static size_t put_item_texts(builder *w, id_map *map)
{
    ranker_batch *b = w->b;
    const size_t dim = w->r->config.text_dim;

    if (b->frozen) {
        for (size_t i = 0; i < b->decisions_n; i++)
            b->item_text[i] = w->b->catalogue_item[b->item[i]];
        return 0;
    }
    for (size_t i = 0; i < b->decisions_n; i++) {
        bool fresh;

        if (i + AHEAD < b->decisions_n)
            fetch(target_text(w, i + AHEAD), dim * sizeof(float));
        b->item_text[i] = id_map_put(&fresh, map, b->item[i]);
        if (fresh)
            memcpy(b->texts + b->item_text[i] * dim, target_text(w, i), dim * sizeof(float));
    }
    return map->n;
}

/* Rows of `vectors` that are those of the batch's examples. */
static void copy_of_examples(float *out, const ranker_batch *b, const float *vectors, size_t dim)
{
    for (size_t i = 0; i < b->examples_n; i++) {
        if (i + AHEAD < b->examples_n)
            fetch(vectors + b->example[i + AHEAD] * dim, dim * sizeof(float));
        memcpy(out + i * dim, vectors + b->example[i] * dim, dim * sizeof(float));
    }
}

/* Text vectors of histories and CoTs after the `at` of items. */
static void put_other_texts(builder *w, size_t at)
{
    ranker_batch *b = w->b;
    const lcf_examples *e = w->source->examples; /* NULL where none is taken */
    const size_t dim = w->r->config.text_dim;

    for (size_t i = 0; i < b->decisions_n; i++)
        b->history_text[i] = (uint32_t)(at + b->history[i]);
    history_texts(b->texts + at * dim, w);
    at += b->row_histories_n;
    copy_of_examples(b->texts + at * dim, b, e ? e->history_vec : NULL, dim);
    at += b->examples_n;
    for (size_t i = 0; i < b->examples_n; i++)
        b->cot_text[i] = (uint32_t)(at + i);
    copy_of_examples(b->texts + at * dim, b, e ? e->cot_vec : NULL, dim);
    b->texts_n = at + b->examples_n;
}

static bool build_texts(builder *w)
{
    ranker_batch *b = w->b;
    const size_t dim = w->r->config.text_dim;
    id_map map;

    b->item_text = alloc_u32(w->tape, b->decisions_n);
    b->history_text = alloc_u32(w->tape, b->decisions_n);
    b->cot_text = alloc_u32(w->tape, b->examples_n);
    b->texts = lcf_tape_alloc(w->tape, (b->decisions_n + b->histories_n + b->examples_n) * dim,
                              sizeof(float));
    if (!b->item_text || !b->history_text || !b->cot_text || !b->texts ||
        !id_map_init(&map, w->tape, b->decisions_n))
        return false;
    put_other_texts(w, put_item_texts(w, &map));
    return true;
}

static bool build_knowledge(builder *w)
{
    ranker_batch *b = w->b;
    const lcf_knowledge *k = w->source->knowledge;

    b->user_knowledge = lcf_tape_alloc(w->tape, b->rows_n, sizeof(*b->user_knowledge));
    b->item_knowledge = lcf_tape_alloc(w->tape, b->rows_n, sizeof(*b->item_knowledge));
    if (!b->user_knowledge || !b->item_knowledge)
        return false;
    for (size_t i = 0; i < b->rows_n; i++) {
        const lcf_ranker_row *row = &w->rows[i];
        const uint32_t item = w->b->catalogue_item[b->item[i]];

        b->user_knowledge[i] = lcf_known_before(&k->users, k->dim, row->user, row->time);
        b->item_knowledge[i] = lcf_known_before(&k->items, k->dim, item, row->time);
        if (!b->item_knowledge[i])
            b->item_knowledge[i] = facts_of(w->source, item).text_vec;
    }
    return true;
}

ranker_batch *lcf_ranker_batch_build(lcf_tape *tape, const lcf_ranker *r,
                                     const lcf_ranker_source *source, const lcf_ranker_row *rows,
                                     size_t n, bool frozen)
{
    builder w = {.tape = tape, .r = r, .source = source, .rows = rows};

    w.b = lcf_tape_alloc(tape, 1, sizeof(*w.b));
    if (!w.b)
        return NULL;
    memset(w.b, 0, sizeof(*w.b));
    w.b->rows_n = n;
    w.b->frozen = frozen;
    if (r->side->needs & LCF_RANKER_EXAMPLES && !build_examples(&w))
        return NULL;
    if (!build_decisions(&w) || !build_items(&w) || !build_pairs(&w) ||
        !lcf_ranker_take_fields(w.b, tape, r, source, rows, w.b->catalogue_item))
        return NULL;
    if (r->side->needs & LCF_RANKER_VECTORS && !build_texts(&w))
        return NULL;
    if (r->side->needs & LCF_RANKER_KNOWLEDGE && !build_knowledge(&w))
        return NULL;
    return w.b;
}
