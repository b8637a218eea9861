/*
 * What a report reads from outside beside predictions: a column to slice by, ranking answers, and
 * the report of a training. The first byte says which. Whatever is taken is whole: slices within
 * their count, quantiles that rise, best epochs that exist; whatever is refused says why.
 */
#include "common/base/status.h"
#include "offline/eval/latency.h"
#include "offline/eval/slices.h"
#include "offline/eval/training.h"

#include <stdint.h>
#include <string.h>

enum { USERS = 4, ITEMS = 3, SAMPLES = 5 };

/* Users "", "a", "b", "c"; items "", "x", "y"; five samples. */
static const char ID_CHARS[] = "abcxy";
static const uint64_t USER_OFFSETS[] = {0, 0, 1, 2, 3}, ITEM_OFFSETS[] = {3, 3, 4, 5};
static const uint32_t USER_SORTED[] = {0, 1, 2, 3}, ITEM_SORTED[] = {0, 1, 2};
static const uint32_t SAMPLE_USER[] = {1, 2, 3, 1, 2}, SAMPLE_ITEM[] = {1, 2, 1, 2, 1};

static void by_column(const char *text, size_t n)
{
    lcf_dataset d = {.users_n = USERS,
                     .user_id = {USERS, USER_OFFSETS, ID_CHARS, USER_SORTED},
                     .samples_n = SAMPLES,
                     .sample_user = SAMPLE_USER,
                     .sample_item = SAMPLE_ITEM};
    uint64_t row[] = {0, 1, 2, 3, 4};
    lcf_eval_table t = {.rows_n = SAMPLES, .row = row};
    const lcf_str view = {text, n};
    lcf_slices s = {.rows_n = SAMPLES};
    lcf_err err = LCF_ERR_INIT;

    d.catalogue.items_n = ITEMS;
    d.catalogue.item_id = (lcf_strings){ITEMS, ITEM_OFFSETS, ID_CHARS, ITEM_SORTED};
    if (lcf_slices_by_column_text(&s, &t, &d, &view, n & 1, "fuzz", "v", &err)) {
        LCF_ASSERT(err.text[0]);
    } else {
        LCF_ASSERT(s.n == 1);
        for (size_t i = 0; i < SAMPLES; i++)
            LCF_ASSERT(s.dimensions[0].of[i] < s.dimensions[0].count ||
                       s.dimensions[0].of[i] == LCF_SLICE_NONE);
        for (size_t k = 0; k < s.dimensions[0].count; k++)
            LCF_ASSERT(lcf_utf8_valid(s.dimensions[0].names[k], strlen(s.dimensions[0].names[k])));
    }
    lcf_slices_dispose(&s);
}

static void latency(const char *text, size_t n)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_latency l;

    if (lcf_latency_parse(&l, text, n, "fuzz", &err)) {
        LCF_ASSERT(err.text[0] && !l.known);
        return;
    }
    LCF_ASSERT(l.known && l.answers_n);
    for (size_t i = 1; i < LCF_LATENCY_POINTS; i++)
        LCF_ASSERT(l.total_ms[i] >= l.total_ms[i - 1]);
}

static void training(const char *text, size_t n)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_training t;

    if (lcf_training_parse(&t, text, n, "fuzz", &err)) {
        LCF_ASSERT(err.text[0] && !t.known);
        return;
    }
    LCF_ASSERT(t.known && t.seeds_n);
    for (size_t s = 0; s < t.seeds_n; s++)
        LCF_ASSERT(t.seeds[s].best_epoch && t.seeds[s].best_epoch <= t.seeds[s].epochs_n);
    lcf_training_dispose(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;

    if (!size)
        return 0;
    switch (data[0]) {
    case 'c':
        by_column(text, size - 1);
        break;
    case 'l':
        latency(text, size - 1);
        break;
    case 't':
        training(text, size - 1);
        break;
    default:
        break;
    }
    return 0;
}
