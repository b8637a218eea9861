/*
 * The catalogue of the simulated shop.
 *
 * Invariant: titles are unique, and what an item's words say follows from its latents alone: the
 * two strongest styles stand in the title, the three strongest in the categories and the text.
 */
#include "offline/data/sim_shop.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_BRANDS = 1, STREAM_ITEMS = 2 };

#define ZIPF 0.8            /* exponent of the popularity by rank */
#define BRAND_LEAN 0.7      /* how far a brand's style shows in its items */
#define LAUNCHED_LATER 0.25 /* share of items that arrive during the log */

typedef struct brand {
    double style[LCF_SIM_STYLES];
    uint32_t departments[3]; /* where it sells; the first is its home */
} brand;

typedef struct makings {
    brand brands[LCF_SIM_BRANDS];
    double department[LCF_SIM_DEPARTMENTS][LCF_SIM_STYLES];
    lcf_rng rng;
} makings;

static void make_brands(makings *m, uint64_t seed)
{
    lcf_rng_seed(&m->rng, seed, STREAM_BRANDS);
    for (size_t d = 0; d < LCF_SIM_DEPARTMENTS; d++)
        for (size_t i = 0; i < LCF_SIM_STYLES; i++)
            m->department[d][i] = lcf_rng_normal(&m->rng);
    for (uint32_t b = 0; b < LCF_SIM_BRANDS; b++) {
        brand *one = m->brands + b;

        for (size_t i = 0; i < LCF_SIM_STYLES; i++)
            one->style[i] = lcf_rng_normal(&m->rng);
        one->departments[0] = b % LCF_SIM_DEPARTMENTS; /* every department is somebody's home */
        for (size_t i = 1; i < 3; i++)
            one->departments[i] = (uint32_t)lcf_rng_below(&m->rng, LCF_SIM_DEPARTMENTS);
    }
}

static void make_latents(lcf_sim_item *item, makings *m)
{
    const brand *b;

    item->brand = (uint32_t)lcf_rng_below(&m->rng, LCF_SIM_BRANDS);
    b = m->brands + item->brand;
    item->department = b->departments[lcf_rng_below(&m->rng, 2) ? 0 : lcf_rng_below(&m->rng, 3)];
    for (size_t i = 0; i < LCF_SIM_STYLES; i++) {
        item->latent[i] = BRAND_LEAN * b->style[i] +
                          sqrt(1.0 - BRAND_LEAN * BRAND_LEAN) * lcf_rng_normal(&m->rng);
        item->latent[LCF_SIM_STYLES + i] = m->department[item->department][i];
    }
}

/* Styles by falling strength. */
static void rank_styles(int order[LCF_SIM_STYLES], const lcf_sim_item *item)
{
    for (int i = 0; i < LCF_SIM_STYLES; i++) {
        int at = i;

        for (; at > 0 && fabs(item->latent[order[at - 1]]) < fabs(item->latent[i]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static const lcf_sim_pole *pole(const lcf_sim_item *item, int style)
{
    return &LCF_SIM_POLE[style][item->latent[style] < 0.0];
}

/* "Northwind Alpine Merino Hiking Sock": brand, words of the two strongest styles in the order of
 * English, noun. */
static void print_title(lcf_buf *out, const lcf_sim_item *item, const int *strongest,
                        const char *noun, lcf_rng *rng)
{
    lcf_buf_append_text(out, LCF_SIM_BRAND[item->brand]);
    for (size_t i = 0; i < LCF_SIM_STYLES; i++) {
        int style = LCF_SIM_WORD_ORDER[i];

        if (style == strongest[0] || style == strongest[1])
            lcf_buf_printf(out, " %s",
                           pole(item, style)->words[lcf_rng_below(rng, LCF_SIM_POLE_WORDS)]);
    }
    lcf_buf_printf(out, " %s", noun);
}

/* A title that is not taken; where chance does not find one, a number makes it unique. */
static lcf_status add_title(lcf_sim_shop *shop, const lcf_sim_item *item, const int *strongest,
                            const char *noun, lcf_rng *rng)
{
    lcf_buf title = LCF_BUF_INIT;
    uint32_t idx;
    lcf_status status;

    for (int attempt = 0; attempt < 20; attempt++) {
        lcf_buf_reset(&title);
        print_title(&title, item, strongest, noun, rng);
        if (title.status || !lcf_intern_find(&shop->title, title.data, title.len))
            break;
    }
    for (size_t len = title.len, number = 2;
         !title.status && lcf_intern_find(&shop->title, title.data, title.len); number++) {
        title.len = len;
        lcf_buf_printf(&title, " %zu", number);
    }
    status = title.status;
    if (!status)
        status = lcf_intern_add(&idx, &shop->title, title.data, title.len);
    lcf_buf_dispose(&title);
    return status;
}

static lcf_status add_words(lcf_sim_shop *shop, const lcf_sim_item *item, const int *strongest,
                            const char *noun, lcf_rng *rng)
{
    const lcf_sim_department *d = &LCF_SIM_DEPARTMENT[item->department];
    lcf_buf categories = LCF_BUF_INIT, text = LCF_BUF_INIT;
    lcf_status status;

    lcf_buf_append_text(&categories, d->name);
    lcf_buf_printf(&text, "%s for %s.", noun, d->scene);
    for (int i = 0; i < 3; i++) {
        const lcf_sim_pole *p = pole(item, strongest[i]);

        lcf_buf_printf(&categories, "|%s", p->category);
        lcf_buf_printf(&text, "%s %s%s", i == 1 ? " and" : " It",
                       p->phrases[lcf_rng_below(rng, LCF_SIM_PHRASES)], i ? "." : "");
    }
    status = categories.status ? categories.status : text.status;
    if (!status)
        status = lcf_intern_append(&shop->categories, categories.data, categories.len);
    if (!status)
        status = lcf_intern_append(&shop->text, text.data, text.len);
    lcf_buf_dispose(&categories);
    lcf_buf_dispose(&text);
    return status;
}

static lcf_status add_item(lcf_sim_shop *shop, makings *m, size_t idx, uint32_t days)
{
    lcf_sim_item *item = shop->items + idx;
    int strongest[LCF_SIM_STYLES];
    const char *noun;
    lcf_status status;

    make_latents(item, m);
    item->quality = lcf_rng_normal(&m->rng);
    item->launch_day = lcf_rng_f64(&m->rng) < LAUNCHED_LATER && days > 1
                           ? 1 + (uint32_t)lcf_rng_below(&m->rng, days - 1)
                           : 0;
    noun = LCF_SIM_DEPARTMENT[item->department].nouns[lcf_rng_below(&m->rng, LCF_SIM_NOUNS)];
    rank_styles(strongest, item);
    status = add_title(shop, item, strongest, noun, &m->rng);
    return status ? status : add_words(shop, item, strongest, noun, &m->rng);
}

/* Popularity by rank; the ranks are dealt at random. */
static lcf_status make_popularity(lcf_sim_shop *shop, lcf_rng *rng)
{
    uint32_t *order = lcf_alloc(shop->n, sizeof(*order));

    if (!order)
        return LCF_ENOMEM;
    for (size_t i = 0; i < shop->n; i++)
        order[i] = (uint32_t)i;
    lcf_rng_shuffle_u32(rng, order, shop->n);
    for (size_t rank = 0; rank < shop->n; rank++)
        shop->items[order[rank]].log_popularity = -ZIPF * log((double)rank + 1.0);
    free(order);
    return LCF_OK;
}

lcf_status lcf_sim_shop_create(lcf_sim_shop *out, const lcf_simulate_options *options)
{
    makings m;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    out->n = options->items_n;
    out->items = lcf_alloc_zero(out->n, sizeof(*out->items));
    status = out->items ? lcf_intern_init(&out->title) : LCF_ENOMEM;
    if (!status)
        status = lcf_intern_append(&out->categories, "", 0);
    if (!status)
        status = lcf_intern_append(&out->text, "", 0);
    make_brands(&m, options->seed);
    lcf_rng_seed(&m.rng, options->seed, STREAM_ITEMS);
    for (size_t i = 0; i < out->n && !status; i++)
        status = add_item(out, &m, i, options->days);
    if (!status)
        status = make_popularity(out, &m.rng);
    if (status)
        lcf_sim_shop_dispose(out);
    return status;
}

void lcf_sim_shop_dispose(lcf_sim_shop *shop)
{
    free(shop->items);
    lcf_intern_dispose(&shop->title);
    lcf_intern_dispose(&shop->categories);
    lcf_intern_dispose(&shop->text);
    memset(shop, 0, sizeof(*shop));
}
