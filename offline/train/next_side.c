/* Inputs of a next-item model's side module: see next_side.h. */
#include "offline/train/next_side.h"

#include "common/base/file.h"

#include <stdlib.h>
#include <string.h>

static lcf_status open_vectors(next_side *s, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "items.lcf");
    lcf_status status;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    status = lcf_embeddings_open(&s->vectors, path, err);
    free(path);
    if (!status)
        s->source.item_vectors = &s->vectors;
    return status;
}

static lcf_status open_examples(next_side *s, const lcf_dataset *d, const char *examples_dir,
                                const char *retrieved_dir, lcf_err *err)
{
    lcf_status status = lcf_examples_open(&s->examples, examples_dir, err);

    if (!status) {
        s->source.examples = &s->examples;
        status = lcf_retrieved_open_dir(&s->retrieved, retrieved_dir, d, examples_dir,
                                        s->examples.n, err);
    }
    if (!status && s->retrieved.rule.by != LCF_RETRIEVE_BY_HISTORY)
        status = LCF_FAIL(err, LCF_EINVAL,
                          "%s: examples were found by %s, that is with the target's help; retrieve "
                          "with --by history",
                          retrieved_dir, lcf_retrieval_by_name(s->retrieved.rule.by));
    return status;
}

lcf_status next_side_open(next_side *s, lcf_ranker_config *config, const lcf_dataset *d,
                          const char *vectors_dir, const char *examples_dir,
                          const char *retrieved_dir, lcf_err *err)
{
    const unsigned needs = lcf_ranker_side_needs(config->side);
    lcf_status status = LCF_OK;

    memset(s, 0, sizeof(*s));
    s->source.catalogue = &d->catalogue;
    config->users_n = d->users_n;
    config->brands_n = d->catalogue.brands_n;
    config->categories_n = d->catalogue.categories_n;
    if (needs & LCF_RANKER_VECTORS)
        status = open_vectors(s, vectors_dir, err);
    if (!status && needs & LCF_RANKER_EXAMPLES)
        status = open_examples(s, d, examples_dir, retrieved_dir, err);
    if (status) {
        next_side_close(s);
        return status;
    }
    config->text_dim = (uint32_t)s->vectors.dim;
    config->cot_dim = (uint32_t)s->examples.cot_dim;
    if (!(needs & LCF_RANKER_EXAMPLES))
        return LCF_OK;
    config->k = s->retrieved.rule.k;
    config->balanced = s->retrieved.rule.balanced;
    config->mode = s->retrieved.rule.mode;
    config->by = s->retrieved.rule.by;
    return LCF_OK;
}

void next_side_close(next_side *s)
{
    lcf_retrieved_close(&s->retrieved);
    if (s->examples.bundle)
        lcf_examples_close(&s->examples);
    if (s->vectors.bundle)
        lcf_embeddings_close(&s->vectors);
    memset(s, 0, sizeof(*s));
}

lcf_ranker_row next_side_row(const next_side *s, const lcf_dataset *d, size_t sample)
{
    const lcf_sample x = lcf_dataset_sample(d, sample);
    const size_t at = sample * s->retrieved.rule.k;

    return (lcf_ranker_row){.user = x.user,
                            .history = x.history,
                            .history_n = x.history_n,
                            .examples = s->retrieved.ids ? s->retrieved.ids + at : NULL,
                            .similarities = s->retrieved.ids ? s->retrieved.scores + at : NULL,
                            .time = x.time};
}
