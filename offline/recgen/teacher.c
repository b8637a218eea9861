/*
 * The bootstrap teacher; see the header. A phrase is a string with {fields}; every list below is
 * chosen by a condition that guarantees its fields are not empty.
 */
#include "offline/recgen/teacher.h"

#include "common/base/rng.h"

#include <string.h>

typedef struct scene { /* what the fields of a phrase refer to */
    lcf_buf *out;
    const lcf_prompt_options *options;
    const lcf_catalogue *c;
    const lcf_facts *f;
    lcf_rng rng;
} scene;

/* {likes} loved categories, {near} the liked item most like the target, {other} another liked item,
 * {foe} a disliked item, {title} the target, {kinds} its categories, {shared} and {fresh} those the
 * user does and does not know, {brand}, {loved} the most loved brand, {related}. */
static const char *const PROFILE_TWO[] = {
    " The user mostly enjoys {likes}, as {near} and {other} show.",
    " With {near} and {other} among the favourites, this user leans towards {likes}.",
    " The history speaks of {likes}: {near} and {other} were both welcome.",
};
static const char *const PROFILE_ONE[] = {
    " The user mostly enjoys {likes}, as {near} shows.",
    " With {near} among the favourites, this user leans towards {likes}.",
    " The history speaks of {likes}: {near} was welcome.",
};
static const char *const PROFILE_BARE[] = {
    " What is known of this user's taste is {near}.",
    " The history is thin and led by {near}.",
};
static const char *const PROFILE_SOUR[] = {
    " Nothing has pleased this user so far, not even {foe}.",
    " The user has been hard to please, and {foe} was a disappointment.",
};
static const char *const PROFILE_NEW[] = {
    " Little is known about this user yet.",
    " This user has hardly any history.",
};
static const char *const LOVED_BRAND[] = {
    " The preferred brand is {loved}.",
    " Purchases return to {loved}.",
};
static const char *const TARGET_KINDS[] = {
    " {title} offers {kinds}",
    " The target, {title}, stands for {kinds}",
    " {title} belongs to {kinds}",
};
static const char *const TARGET_BARE[] = {
    " The target is {title}",
    " {title} is under consideration",
};
static const char *const TARGET_BRAND[] = {
    " and comes from {brand}",
    ", made by {brand}",
};
static const char *const TARGET_RELATED[] = {
    ", and it is often chosen along with {related}.",
    "; people who pick it also pick {related}.",
    ", close to {related}.",
};
static const char *const MATCH_YES[] = {
    " It shares {shared} with the profile, which is a good match.",
    " Its {shared} side fits this taste well.",
    " The {shared} in it is what this user looks for.",
};
static const char *const MATCH_YES_BRAND[] = {
    " The brand is familiar, and {shared} fits this taste well.",
    " Coming from a trusted brand with {shared}, it is a good match.",
};
static const char *const MATCH_YES_FAR[] = {
    " It has little in common with the profile, yet it can still appeal.",
    " The overlap with past choices is small, but the interest is there.",
};
static const char *const MATCH_NO[] = {
    " It shares {shared} with the profile, but that alone is not enough.",
    " Although {shared} is familiar, the item does not appeal here.",
    " The {shared} in it is known ground, and still the fit is weak.",
};
static const char *const MATCH_NO_FOE[] = {
    " It resembles {foe}, which was not liked, so the fit is weak.",
    " Like {foe}, which disappointed, it does not appeal here.",
};
static const char *const MATCH_NO_FAR[] = {
    " It has little in common with the profile, so the fit is weak.",
    " Nothing in past choices points to it, so it does not appeal here.",
};
static const char *const VARIETY_YES_NEW[] = {
    " {fresh} would be something new and adds variety.",
    " For variety, {fresh} widens the range.",
};
static const char *const VARIETY_YES_OLD[] = {
    " It adds no new ground, yet familiar variety within the favourites is welcome.",
    " Variety is small here, but more of the same is welcome.",
};
static const char *const VARIETY_NO_NEW[] = {
    " {fresh} would add variety, but it lies outside this taste.",
    " The wish for variety does not reach as far as {fresh}.",
};
static const char *const VARIETY_NO_OLD[] = {
    " It brings no variety either.",
    " For variety it offers nothing new.",
};
static const char *const DECISION_YES[] = {
    " So the answer is Yes.",
    " The decision is therefore Yes.",
    " Overall the user says Yes.",
};
static const char *const DECISION_NO[] = {
    " So the answer is No.",
    " The decision is therefore No.",
    " Overall the user says No.",
};
static const char *const STOP[] = {"."};

#define PHRASE(s, list) phrase((s), (list), sizeof(list) / sizeof((list)[0]))

static void append_list(scene *s, const lcf_strings *labels, const uint32_t *idx, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lcf_buf_append_text(s->out, !i ? "" : i + 1 < n ? ", " : " and ");
        lcf_prompt_name(s->out, lcf_strings_get(labels, idx[i]), 32);
    }
}

static void append_kinds(scene *s)
{
    uint32_t idx[2 * LCF_FACTS_TOP_MAX];
    size_t n = 0;

    for (size_t i = 0; i < s->f->shared.n && n < 3; i++)
        idx[n++] = s->f->shared.idx[i];
    for (size_t i = 0; i < s->f->fresh.n && n < 3; i++)
        idx[n++] = s->f->fresh.idx[i];
    append_list(s, &s->c->category, idx, n);
}

/* A liked item other than the one most like the target. */
static uint32_t other_liked(const lcf_facts *f)
{
    for (size_t i = f->liked_n; i-- > 0;)
        if (f->liked[i] != f->near_liked)
            return f->liked[i];
    return 0;
}

static uint32_t foe_of(const lcf_facts *f)
{
    if (f->near_disliked || !f->disliked_n)
        return f->near_disliked;
    return f->disliked[f->disliked_n - 1];
}

/* An item of the history, liked or not, as the dialect speaks of items. */
static void name_history(scene *s, bool liked, uint32_t item)
{
    const uint32_t *items = liked ? s->f->liked : s->f->disliked;
    size_t n = liked ? s->f->liked_n : s->f->disliked_n, at = n;

    while (at > 0 && items[at - 1] != item)
        at--;
    LCF_ASSERT(at > 0);
    if (s->options->dialect == LCF_DIALECT_RECGEN)
        lcf_prompt_reference(s->out, lcf_prompt_history_reference(s->f, liked, at - 1));
    else
        lcf_prompt_title(s->out, s->options, s->c, item);
}

static void name_other(scene *s, unsigned reference, uint32_t item)
{
    if (s->options->dialect == LCF_DIALECT_RECGEN)
        lcf_prompt_reference(s->out, reference);
    else
        lcf_prompt_title(s->out, s->options, s->c, item);
}

static size_t at_most(size_t n, size_t max)
{
    return n < max ? n : max;
}

static void field(scene *s, const char *name, size_t len)
{
    const lcf_facts *f = s->f;
    const lcf_catalogue *c = s->c;

#define IS(text) (len == sizeof(text) - 1 && !memcmp(name, text, len))
    if (IS("likes"))
        append_list(s, &c->category, f->categories.idx, at_most(f->categories.n, 2));
    else if (IS("near"))
        name_history(s, true, f->near_liked);
    else if (IS("other"))
        name_history(s, true, other_liked(f));
    else if (IS("foe"))
        name_history(s, false, foe_of(f));
    else if (IS("title"))
        name_other(s, LCF_REF_TARGET, f->sample.item);
    else if (IS("kinds"))
        append_kinds(s);
    else if (IS("shared"))
        append_list(s, &c->category, f->shared.idx, at_most(f->shared.n, 2));
    else if (IS("fresh"))
        append_list(s, &c->category, f->fresh.idx, at_most(f->fresh.n, 2));
    else if (IS("brand"))
        lcf_prompt_name(s->out, lcf_strings_get(&c->brand, c->item_brand[f->sample.item]), 32);
    else if (IS("loved"))
        append_list(s, &c->brand, f->brands.idx, 1);
    else if (IS("related"))
        name_other(s, LCF_REF_RELATED, f->related[0]);
    else
        LCF_ASSERT(!"a phrase has an unknown field");
#undef IS
}

static void phrase(scene *s, const char *const *list, size_t n)
{
    const char *p = list[lcf_rng_below(&s->rng, n)], *open;

    while ((open = strchr(p, '{'))) {
        const char *close = strchr(open, '}');
        lcf_buf_append(s->out, p, (size_t)(open - p));
        field(s, open + 1, (size_t)(close - open) - 1);
        p = close + 1;
    }
    lcf_buf_append_text(s->out, p);
}

static void profile(scene *s)
{
    const lcf_facts *f = s->f;

    if (!f->near_liked) {
        if (f->disliked_n)
            PHRASE(s, PROFILE_SOUR);
        else
            PHRASE(s, PROFILE_NEW);
        return;
    }
    if (!f->categories.n)
        PHRASE(s, PROFILE_BARE);
    else if (other_liked(f))
        PHRASE(s, PROFILE_TWO);
    else
        PHRASE(s, PROFILE_ONE);
    if (f->brands.n && f->brands.count[0] >= 2)
        PHRASE(s, LOVED_BRAND);
}

static void target(scene *s)
{
    const lcf_facts *f = s->f;
    uint32_t brand = s->c->item_brand[f->sample.item];

    if (f->shared.n + f->fresh.n)
        PHRASE(s, TARGET_KINDS);
    else
        PHRASE(s, TARGET_BARE);
    if (brand && lcf_label_is_telling(lcf_strings_get(&s->c->brand, brand)))
        PHRASE(s, TARGET_BRAND);
    if (f->related_n)
        PHRASE(s, TARGET_RELATED);
    else
        PHRASE(s, STOP);
}

static void match(scene *s)
{
    const lcf_facts *f = s->f;

    if (f->sample.label) {
        if (!f->shared.n)
            PHRASE(s, MATCH_YES_FAR);
        else if (f->brand_count)
            PHRASE(s, MATCH_YES_BRAND);
        else
            PHRASE(s, MATCH_YES);
        return;
    }
    if (f->near_disliked)
        PHRASE(s, MATCH_NO_FOE);
    else if (f->shared.n)
        PHRASE(s, MATCH_NO);
    else
        PHRASE(s, MATCH_NO_FAR);
}

static void variety(scene *s)
{
    const lcf_facts *f = s->f;

    if (f->sample.label && f->fresh.n)
        PHRASE(s, VARIETY_YES_NEW);
    else if (f->sample.label)
        PHRASE(s, VARIETY_YES_OLD);
    else if (f->fresh.n)
        PHRASE(s, VARIETY_NO_NEW);
    else
        PHRASE(s, VARIETY_NO_OLD);
}

void lcf_teacher_compose(lcf_buf *out, const lcf_prompt_options *options, const lcf_dataset *d,
                         const lcf_facts *f, uint64_t seed)
{
    scene s = {out, options, &d->catalogue, f, {{0}}};

    lcf_rng_seed(&s.rng, seed, 0);
    profile(&s);
    target(&s);
    match(&s);
    variety(&s);
    if (f->sample.label)
        PHRASE(&s, DECISION_YES);
    else
        PHRASE(&s, DECISION_NO);
}
