/*
 * Items that a request describes. Their text goes through the encoder that made the vectors of the
 * catalogue's items, so that they lie among them.
 */
#include "online/rank/described.h"

#include "common/base/hash.h"
#include "common/base/progress.h"

#include <string.h>

#define NONE UINT32_MAX

/* The request's items by id. */
typedef struct by_id {
    const lcf_rank_request *r;
    uint32_t *slots; /* [mask + 1] index of an item, or NONE */
    uint32_t *index; /* [items_n] what the item has become, or NONE */
    size_t mask;
} by_id;

static size_t slot_of(const by_id *t, const char *id)
{
    size_t at = lcf_hash64(id, strlen(id), 0) & t->mask;

    while (t->slots[at] != NONE && strcmp(t->r->items[t->slots[at]].item_id, id))
        at = (at + 1) & t->mask;
    return at;
}

/* The first of several with one id counts. */
static bool by_id_init(by_id *t, const lcf_rank_request *r, lcf_arena *arena)
{
    size_t n = 16;

    while (n < 2 * r->items_n)
        n *= 2;
    *t = (by_id){r, lcf_arena_alloc(arena, n, sizeof(*t->slots)),
                 lcf_arena_alloc(arena, r->items_n, sizeof(*t->index)), n - 1};
    if (!t->slots || !t->index)
        return false;
    memset(t->slots, 0xff, n * sizeof(*t->slots));
    memset(t->index, 0xff, r->items_n * sizeof(*t->index));
    for (size_t i = 0; i < r->items_n; i++) {
        const char *id = r->items[i].item_id;

        if (id && *id && t->slots[slot_of(t, id)] == NONE)
            t->slots[slot_of(t, id)] = (uint32_t)i;
    }
    return true;
}

static lcf_str str(const char *text)
{
    return (lcf_str){text ? text : "", text ? strlen(text) : 0};
}

/* The vector of an item's text, as of a catalogue's item; zeros without an encoder. */
static lcf_status encode(float *out, rank_job *j, const lcf_rank_item *from, lcf_err *err)
{
    lcf_rank_context *c = j->c;

    if (!j->data->has_text_encoder)
        return LCF_OK;
    lcf_buf_reset(&c->text);
    lcf_item_text_add(&c->text, 0, str(from->title));
    lcf_item_text_add(&c->text, 0, str(from->brand));
    for (size_t i = 0; i < from->categories_n; i++)
        lcf_item_text_add(&c->text, 0, str(from->categories[i]));
    lcf_item_text_add(&c->text, 0, str(from->text));
    if (c->text.status)
        return LCF_FAIL(err, c->text.status, "text of item %s", from->item_id);
    return lcf_text_encoder_encode(out, &j->data->text_encoder, &c->features,
                                   (lcf_str){lcf_buf_text(&c->text), c->text.len}, err);
}

static uint32_t find(const lcf_strings *strings, const char *text)
{
    return text && *text ? lcf_strings_find(strings, text, strlen(text)) : 0;
}

/* Whether the arm reads the texts of items, itself or to find examples. */
static bool reads_texts(const rank_job *j)
{
    const char *side = lcf_ranker_config_of(j->data->arms[j->arm].ranker)->side;

    return lcf_ranker_side_needs(side) & (LCF_RANKER_VECTORS | LCF_RANKER_EXAMPLES);
}

/* *late: there was no time for its text. */
static lcf_status describe(bool *late, lcf_ranker_item *item, rank_job *j, double until_s,
                           const lcf_rank_item *from, lcf_err *err)
{
    const lcf_catalogue *all = &j->data->catalogue;
    lcf_arena *arena = j->c->arena;
    float *vec = lcf_arena_alloc_zero(arena, j->data->item_vectors.dim, sizeof(*vec));
    uint32_t *categories = lcf_arena_alloc(arena, from->categories_n + 1, sizeof(*categories));

    if (!vec || !categories)
        return LCF_FAIL(err, LCF_ENOMEM, "item %s", from->item_id);
    *item = (lcf_ranker_item){
        .brand = find(&all->brand, from->brand), .categories = categories, .text_vec = vec};
    for (size_t i = 0; i < from->categories_n; i++) {
        const uint32_t category = find(&all->category, from->categories[i]);

        if (category)
            categories[item->categories_n++] = category;
    }
    *late = reads_texts(j) && until_s != 0.0 && lcf_clock_s() > until_s;
    return reads_texts(j) && !*late ? encode(vec, j, from, err) : LCF_OK;
}

/* What an item that is described lacks of all that the arm can read of one it was not trained with;
 * NULL: nothing. */
static const char *lacks(const rank_job *j, bool late)
{
    if (!reads_texts(j))
        return NULL;
    return late ? "deadline" : j->data->has_text_encoder ? NULL : "unknown_item";
}

lcf_status lcf_rank_describe(rank_job *j, double until_s, lcf_err *err)
{
    const lcf_rank_request *r = j->request;
    lcf_rank_context *c = j->c;
    bool late = false;    /* from some item on: time goes one way */
    size_t in_time_n = 0; /* those before it */
    by_id items;

    if (!r->items_n)
        return LCF_OK;
    j->described = lcf_arena_alloc_zero(c->arena, r->items_n, sizeof(*j->described));
    j->described_as = lcf_arena_alloc_zero(c->arena, r->items_n, sizeof(*j->described_as));
    if (!j->described || !j->described_as || !by_id_init(&items, r, c->arena))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu items of the request", r->items_n);
    for (size_t i = 0; i < r->candidates_n; i++) {
        const uint32_t at = c->item[i] ? NONE : items.slots[slot_of(&items, r->candidates[i])];

        if (at == NONE)
            continue;
        if (items.index[at] == NONE) {
            lcf_status status =
                describe(&late, &j->described[j->described_n], j, until_s, &r->items[at], err);

            if (status)
                return status;
            in_time_n += !late;
            j->described_as[j->described_n] = &r->items[at];
            items.index[at] = j->data->catalogue.items_n + (uint32_t)j->described_n++;
        }
        c->item[i] = items.index[at];
        c->degraded[i] = lacks(j, c->item[i] - j->data->catalogue.items_n >= in_time_n);
    }
    return LCF_OK;
}
