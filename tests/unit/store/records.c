/* Made-up records: see records.h. */
#include "tests/unit/store/records.h"

#include "common/base/file.h"
#include "common/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#include <cmocka.h>

static const char *const WORDS[] = {
    "the user", "prefers",    "dark",  "comedies",  "with",        "a strong", "sense",
    "of place", "and has",    "rated", "thrillers", "highly",      "so this",  "film fits",
    "although", "it departs", "from",  "recent",    "favourites.", "Therefore"};

void records_make(made *m, uint64_t number)
{
    lcf_rng rng;
    size_t used = 0;

    memset(m, 0, sizeof(*m));
    lcf_rng_seed(&rng, number, 7);
    snprintf(m->user, sizeof(m->user), "u%u", (unsigned)(number % 50));
    snprintf(m->item, sizeof(m->item), "i%u", (unsigned)lcf_rng_below(&rng, 500));
    for (size_t i = 0, n = 30 + lcf_rng_below(&rng, 100); i < n; i++)
        used += (size_t)snprintf(m->text + used, sizeof(m->text) - used, "%s %u ",
                                 WORDS[lcf_rng_below(&rng, 20)], (unsigned)lcf_rng_below(&rng, 99));
    m->record = (lcf_cot_record){
        .key = lcf_hash128_of(&number, sizeof(number)),
        .sample_hash = lcf_hash128_of(m->text, used),
        .user_id = m->user,
        .item_id = m->item,
        .label = (uint32_t)(number % 2),
        .time = 1000000000 - (int64_t)number,
        .text = m->text,
        .score = 0.5f,
        .parts = {0.25f, 0.5f, 0.75f, 0.5f},
        .reject_reason = "",
        .model_id = "0123456789abcdef",
        .prompt_version = "cot-1",
        .sampling = "temperature=0.6 top_k=50 seed=1",
        .candidate = 1,
        .candidates_n = 3,
        .prompt_tokens = 200,
        .tokens = 150,
        .tokens_generated = 450,
    };
}

void records_assert_same(const lcf_cot_record *a, const lcf_cot_record *b)
{
    assert_memory_equal(a->key.bytes, b->key.bytes, 16);
    assert_memory_equal(a->sample_hash.bytes, b->sample_hash.bytes, 16);
    assert_string_equal(a->user_id, b->user_id);
    assert_string_equal(a->item_id, b->item_id);
    assert_string_equal(a->text, b->text);
    assert_string_equal(a->reject_reason, b->reject_reason);
    assert_string_equal(a->model_id, b->model_id);
    assert_string_equal(a->prompt_version, b->prompt_version);
    assert_string_equal(a->sampling, b->sampling);
    assert_int_equal(a->label, b->label);
    assert_true(a->time == b->time);
    assert_true(a->score == b->score);
    assert_memory_equal(a->parts, b->parts, sizeof(a->parts));
    assert_int_equal(a->candidate, b->candidate);
    assert_int_equal(a->candidates_n, b->candidates_n);
    assert_int_equal(a->prompt_tokens, b->prompt_tokens);
    assert_int_equal(a->tokens, b->tokens);
    assert_true(a->tokens_generated == b->tokens_generated);
}

lcf_status records_open(lcf_cot_store **out, const char *dir, bool write, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;

    options.write = write;
    options.dictionary_after = 300;
    return lcf_cot_store_open(out, dir, &options, err);
}

/* Puts the records [begin, end) in batches of `batch`. */
lcf_status records_put(lcf_cot_store *s, uint64_t begin, uint64_t end, size_t batch, lcf_err *err)
{
    made *m = calloc(batch, sizeof(*m));
    lcf_cot_record *records = calloc(batch, sizeof(*records));
    lcf_status status = LCF_OK;

    while (begin < end && !status) {
        size_t n = 0;
        for (; n < batch && begin < end; n++, begin++) {
            records_make(&m[n], begin);
            records[n] = m[n].record;
        }
        status = lcf_cot_store_put(s, records, n, err);
    }
    free(records);
    free(m);
    return status;
}

void records_check(lcf_cot_store *s, uint64_t number)
{
    made m;
    lcf_cot_record *got;
    lcf_err err = LCF_ERR_INIT;

    records_make(&m, number);
    assert_int_equal(lcf_cot_store_has(s, m.record.key, &err), LCF_OK);
    if (lcf_cot_store_get(&got, s, m.record.key, &err))
        fail_msg("record %llu: %s", (unsigned long long)number, err.text);
    records_assert_same(got, &m.record);
    free(got);
}

void records_fresh(const char *dir)
{
    assert_int_equal(lcf_dir_remove(dir, NULL), LCF_OK);
}

void records_fill(const char *dir, uint64_t n)
{
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;

    records_fresh(dir);
    assert_int_equal(records_open(&s, dir, true, &err), LCF_OK);
    if (records_put(s, 0, n, 64, &err))
        fail_msg("%s", err.text);
    lcf_cot_store_close(s);
}
