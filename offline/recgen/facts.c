/*
 * Facts of a sample; see the header. Ties are broken by the more recent item and then by the lower
 * index, so that facts are a function of the sample alone.
 */
#include "offline/recgen/facts.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TALLY_MAX 256 /* distinct labels counted per history; later ones are left out */

typedef struct tally {
    uint32_t idx[TALLY_MAX], count[TALLY_MAX];
    size_t n;
} tally;

bool lcf_label_is_telling(lcf_str label)
{
    if (!label.len || label.data[0] == '(')
        return false;
    return !(label.len == 7 && !strncasecmp(label.data, "unknown", 7));
}

static void tally_add(tally *t, uint32_t idx)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->idx[i] == idx) {
            t->count[i]++;
            return;
        }
    if (t->n < TALLY_MAX) {
        t->idx[t->n] = idx;
        t->count[t->n++] = 1;
    }
}

static uint32_t tally_get(const tally *t, uint32_t idx)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->idx[i] == idx)
            return t->count[i];
    return 0;
}

/* Keeps the LCF_FACTS_TOP_MAX best by count; the first to come wins a tie. */
static void top_add(lcf_top *top, uint32_t idx, uint32_t count)
{
    size_t at = top->n;

    while (at > 0 && top->count[at - 1] < count)
        at--;
    if (at == LCF_FACTS_TOP_MAX)
        return;
    if (top->n < LCF_FACTS_TOP_MAX)
        top->n++;
    for (size_t i = top->n - 1; i > at; i--) {
        top->idx[i] = top->idx[i - 1];
        top->count[i] = top->count[i - 1];
    }
    top->idx[at] = idx;
    top->count[at] = count;
}

static void tally_categories(tally *t, const lcf_catalogue *c, uint32_t item)
{
    for (uint64_t i = c->category_offsets[item]; i < c->category_offsets[item + 1]; i++)
        if (c->item_categories[i] &&
            lcf_label_is_telling(lcf_strings_get(&c->category, c->item_categories[i])))
            tally_add(t, c->item_categories[i]);
}

static bool brand_is_telling(const lcf_catalogue *c, uint32_t brand)
{
    return brand && lcf_label_is_telling(lcf_strings_get(&c->brand, brand));
}

/* Categories in common, and three more for the same brand. */
static unsigned likeness(const lcf_catalogue *c, uint32_t a, uint32_t b)
{
    unsigned common = 0;

    for (uint64_t i = c->category_offsets[a]; i < c->category_offsets[a + 1]; i++)
        for (uint64_t j = c->category_offsets[b]; j < c->category_offsets[b + 1]; j++)
            common += c->item_categories[i] && c->item_categories[i] == c->item_categories[j];
    if (c->item_brand[a] == c->item_brand[b] && brand_is_telling(c, c->item_brand[a]))
        common += 3;
    return common;
}

/* The most alike of n items other than the target, the most recent of equals; 0 when none reaches
 * `least`. */
static uint32_t nearest(const lcf_catalogue *c, const uint32_t *items, size_t n, uint32_t target,
                        unsigned least)
{
    uint32_t best = 0;
    unsigned best_likeness = 0;

    for (size_t i = n; i-- > 0;) {
        unsigned alike = likeness(c, items[i], target);
        if (items[i] == target || alike < least || (best && alike <= best_likeness))
            continue;
        best = items[i];
        best_likeness = alike;
    }
    return best;
}

static void split_history(lcf_facts *f, const lcf_dataset *d, size_t sample)
{
    size_t n = f->sample.history_n, begin = d->sample_history_end[sample] - n;

    for (size_t i = 0; i < n; i++) {
        uint32_t item = f->sample.history[i];
        float rating = d->event_rating[begin + i];
        if (!item)
            continue;
        if (rating == rating)
            f->rated = true;
        if (rating < d->like) /* false for NaN: an event without a rating is a choice */
            f->disliked[f->disliked_n++] = item;
        else
            f->liked[f->liked_n++] = item;
    }
}

static void compare_target(lcf_facts *f, const lcf_catalogue *c, const tally *liked)
{
    uint32_t item = f->sample.item;

    for (uint64_t i = c->category_offsets[item]; i < c->category_offsets[item + 1]; i++) {
        uint32_t category = c->item_categories[i], count = tally_get(liked, category);
        if (!category || !lcf_label_is_telling(lcf_strings_get(&c->category, category)))
            continue;
        if (count)
            top_add(&f->shared, category, count);
        else
            top_add(&f->fresh, category, 0);
    }
    f->near_liked = nearest(c, f->liked, f->liked_n, item, 0);
    f->near_disliked = nearest(c, f->disliked, f->disliked_n, item, 1);
}

static void keep_recent(lcf_facts *f, size_t history_n)
{
    const size_t skip = f->liked_n > history_n ? f->liked_n - history_n : 0;

    f->recent_n = f->liked_n - skip;
    memcpy(f->recent, f->liked + skip, f->recent_n * sizeof(*f->recent));
}

static bool is_among(uint32_t item, const uint32_t *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (items[i] == item)
            return true;
    return false;
}

/* Keeps the most recent `keep` of *n items, each once. */
static void keep_last(uint32_t *items, size_t *n, size_t keep)
{
    size_t kept = 0;

    for (size_t i = 0; i < *n; i++)
        if (!is_among(items[i], items + i + 1, *n - i - 1))
            items[kept++] = items[i];
    *n = kept;
    if (*n <= keep)
        return;
    memmove(items, items + (*n - keep), keep * sizeof(*items));
    *n = keep;
}

static void keep_named(lcf_facts *f, size_t history_n)
{
    size_t bad = history_n / 3;

    keep_last(f->liked, &f->liked_n, history_n);
    if (f->liked_n < history_n && history_n - f->liked_n > bad)
        bad = history_n - f->liked_n;
    keep_last(f->disliked, &f->disliked_n, bad);
    keep_last(f->liked, &f->liked_n, history_n - f->disliked_n);
}

void lcf_facts_of(lcf_facts *out, const lcf_dataset *d, const lcf_related *related,
                  size_t history_n, size_t sample)
{
    const lcf_catalogue *c = &d->catalogue;
    tally liked = {.n = 0}, brands = {.n = 0};

    memset(out, 0, sizeof(*out));
    out->sample = lcf_dataset_sample(d, sample);
    split_history(out, d, sample);
    for (size_t i = out->liked_n; i-- > 0;) { /* the most recent first: it wins ties */
        uint32_t brand = c->item_brand[out->liked[i]];
        tally_categories(&liked, c, out->liked[i]);
        if (brand_is_telling(c, brand))
            tally_add(&brands, brand);
    }
    for (size_t i = 0; i < liked.n; i++)
        top_add(&out->categories, liked.idx[i], liked.count[i]);
    for (size_t i = 0; i < brands.n; i++)
        top_add(&out->brands, brands.idx[i], brands.count[i]);
    out->brand_count = tally_get(&brands, c->item_brand[out->sample.item]);
    keep_recent(out, history_n);
    keep_named(out, history_n);
    compare_target(out, c, &liked);
    for (size_t i = 0; related && out->sample.item && i < LCF_RELATED_MAX; i++) {
        uint32_t item = related->items[(size_t)out->sample.item * LCF_RELATED_MAX + i];
        if (item)
            out->related[out->related_n++] = item;
    }
}

/* ---- related items ---- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Pairs of one positive sample, both directions, as item << 32 | other. */
static size_t sample_pairs(uint64_t *pairs, const lcf_dataset *d, size_t idx)
{
    lcf_sample s = lcf_dataset_sample(d, idx);
    size_t begin = d->sample_history_end[idx] - s.history_n, n = 0, used = 0;

    if (!s.label || !s.item)
        return 0;
    for (size_t i = s.history_n; i-- > 0 && used < LCF_RELATED_WINDOW;) {
        uint32_t other = s.history[i];
        if (!other || other == s.item || d->event_rating[begin + i] < d->like)
            continue;
        pairs[n++] = (uint64_t)s.item << 32 | other;
        pairs[n++] = (uint64_t)other << 32 | s.item;
        used++;
    }
    return n;
}

/* The best of one item's run of equal pairs: a small insertion into three places. */
static void keep_related(uint32_t *items, uint32_t *counts, uint32_t other, uint32_t count)
{
    size_t at = LCF_RELATED_MAX;

    while (at > 0 && counts[at - 1] < count)
        at--;
    for (size_t i = LCF_RELATED_MAX - 1; i > at; i--) {
        items[i] = items[i - 1];
        counts[i] = counts[i - 1];
    }
    if (at < LCF_RELATED_MAX) {
        items[at] = other;
        counts[at] = count;
    }
}

static void count_pairs(lcf_related *r, const uint64_t *pairs, size_t n)
{
    uint32_t counts[LCF_RELATED_MAX] = {0};

    for (size_t i = 0; i < n;) {
        size_t end = i;
        uint32_t item = (uint32_t)(pairs[i] >> 32);
        while (end < n && pairs[end] == pairs[i])
            end++;
        if (i == 0 || (uint32_t)(pairs[i - 1] >> 32) != item)
            memset(counts, 0, sizeof(counts));
        if (end - i >= 2)
            keep_related(r->items + (size_t)item * LCF_RELATED_MAX, counts, (uint32_t)pairs[i],
                         (uint32_t)(end - i));
        i = end;
    }
}

lcf_status lcf_related_create(lcf_related **out, const lcf_dataset *d, lcf_err *err)
{
    size_t begin = d->split_begin[LCF_TRAIN], end = d->split_begin[LCF_TRAIN + 1];
    size_t pairs_n = 0, pairs_max = 0;
    lcf_related *r = NULL;
    uint64_t *pairs = NULL;
    lcf_status status = LCF_ENOMEM;

    *out = NULL;
    if (!lcf_mul_size(&pairs_max, end - begin, (size_t)2 * LCF_RELATED_WINDOW))
        return LCF_FAIL(err, LCF_ENOMEM, "related items of %zu samples", end - begin);
    r = lcf_alloc_zero(1, sizeof(*r));
    pairs = lcf_alloc(pairs_max + 1, sizeof(*pairs));
    if (!r || !pairs)
        goto done;
    r->items_n = d->catalogue.items_n;
    r->items = lcf_alloc_zero((size_t)r->items_n * LCF_RELATED_MAX, sizeof(*r->items));
    if (!r->items)
        goto done;
    for (size_t i = begin; i < end; i++)
        pairs_n += sample_pairs(pairs + pairs_n, d, i);
    qsort(pairs, pairs_n, sizeof(*pairs), compare_u64);
    count_pairs(r, pairs, pairs_n);
    *out = r;
    r = NULL;
    status = LCF_OK;
done:
    if (status)
        LCF_FAIL(err, status, "related items: %zu pairs of 8 bytes", pairs_max);
    lcf_related_free(r);
    free(pairs);
    return status;
}

void lcf_related_free(lcf_related *r)
{
    if (!r)
        return;
    free(r->items);
    free(r);
}
