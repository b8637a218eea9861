/* The choice of rows; see the header. */
#include "offline/recgen/rows.h"

#include "common/base/mem.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

#define PART_BYTES_MAX 255 /* of a key; what is longer enters by its hash */
#define SHARDS_MAX 1000000

lcf_hash128 lcf_cot_key(lcf_hash128 sample, const char *prompt_version, const char *model_id,
                        const char *sampling)
{
    char bytes[16 + 3 * (PART_BYTES_MAX + 1)], hex[33];
    const char *const parts[] = {prompt_version, model_id, sampling};
    size_t n = sizeof(sample.bytes);

    memcpy(bytes, sample.bytes, n);
    for (size_t i = 0; i < 3; i++) {
        const char *part = parts[i];
        size_t len = strlen(part);
        if (len > PART_BYTES_MAX) {
            lcf_hash128_hex(hex, lcf_hash128_of(part, len));
            part = hex;
            len = sizeof(hex) - 1;
        }
        memcpy(bytes + n, part, len + 1); /* the NUL ends a part */
        n += len + 1;
    }
    return lcf_hash128_of(bytes, n);
}

lcf_status lcf_shard_parse(lcf_row_choice *out, const char *text, lcf_err *err)
{
    const char *slash = strchr(text, '/');
    uint64_t shard, shards_n;

    if (!slash || !lcf_parse_u64(text, (size_t)(slash - text), &shard) ||
        !lcf_parse_u64(slash + 1, strlen(slash + 1), &shards_n) || !shard || shard > shards_n ||
        shards_n > SHARDS_MAX)
        return LCF_FAIL(err, LCF_EUSAGE, "'%s' is no shard; the second of eight is 2/8", text);
    out->shard = (size_t)shard;
    out->shards_n = (size_t)shards_n;
    return LCF_OK;
}

static int by_hash(const void *a, const void *b)
{
    const lcf_chosen *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return memcmp(x->sample_hash.bytes, y->sample_hash.bytes, 16);
}

static int by_sample(const void *a, const void *b)
{
    const lcf_chosen *x = a, *y = b;

    return (x->sample > y->sample) - (x->sample < y->sample);
}

static lcf_status take_share(lcf_chosen_rows *out, const lcf_dataset *d,
                             const lcf_row_choice *choice, const lcf_row_source *source,
                             lcf_err *err)
{
    double threshold = choice->share * 0x1p64;
    size_t begin = d->split_begin[LCF_TRAIN], end = d->split_begin[LCF_TRAIN + 1];

    for (size_t i = begin; i < end; i++) {
        lcf_hash128 hash = lcf_dataset_sample_hash(d, i);
        uint64_t u = lcf_hash64(hash.bytes, sizeof(hash.bytes), choice->seed);
        if ((double)u >= threshold)
            continue;
        if (lcf_grow((void **)&out->rows, &out->capacity, out->n + 1, sizeof(*out->rows)))
            return LCF_FAIL(err, LCF_ENOMEM, "%zu chosen rows", out->n + 1);
        out->rows[out->n++] = (lcf_chosen){
            u, i, hash,
            lcf_cot_key(hash, source->prompt_version, source->model_id, source->sampling)};
    }
    return LCF_OK;
}

static bool in_shard(const lcf_chosen *row, const lcf_row_choice *choice)
{
    uint64_t u = lcf_hash64(row->key.bytes, sizeof(row->key.bytes), 0);

    return u % choice->shards_n == choice->shard - 1;
}

lcf_status lcf_rows_choose(lcf_chosen_rows *out, const lcf_dataset *d, const lcf_row_choice *choice,
                           const lcf_row_source *source, lcf_err *err)
{
    size_t kept = 0;
    lcf_status status;

    if (!(choice->share > 0.0 && choice->share <= 1.0))
        return LCF_FAIL(err, LCF_EUSAGE, "a share of %g; it must be in (0, 1]", choice->share);
    if (choice->shard > choice->shards_n || !choice->shard != !choice->shards_n)
        return LCF_FAIL(err, LCF_EUSAGE, "shard %zu of %zu", choice->shard, choice->shards_n);
    status = take_share(out, d, choice, source, err);
    if (status)
        return status;
    if (choice->rows_max && out->n > choice->rows_max) {
        qsort(out->rows, out->n, sizeof(*out->rows), by_hash);
        out->n = choice->rows_max;
        qsort(out->rows, out->n, sizeof(*out->rows), by_sample);
    }
    for (size_t i = 0; choice->shards_n && i < out->n; i++)
        if (in_shard(&out->rows[i], choice))
            out->rows[kept++] = out->rows[i];
    if (choice->shards_n)
        out->n = kept;
    return LCF_OK;
}

void lcf_chosen_rows_dispose(lcf_chosen_rows *rows)
{
    free(rows->rows);
    memset(rows, 0, sizeof(*rows));
}
