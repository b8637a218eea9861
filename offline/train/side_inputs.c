/* Inputs of a side module: see side_inputs.h. */
#include "offline/train/side_inputs.h"

#include "common/base/file.h"

#include <stdlib.h>
#include <string.h>

lcf_status side_dirs_check(const side_dirs *dirs, const char *side, unsigned needs, lcf_err *err)
{
    if ((needs & LCF_RANKER_VECTORS && !dirs->vectors) ||
        (needs & LCF_RANKER_EXAMPLES && (!dirs->examples || !dirs->retrieved)) ||
        (needs & LCF_RANKER_KNOWLEDGE && !dirs->knowledge))
        return LCF_FAIL(err, LCF_EINVAL, "the side module %s needs %s", side,
                        needs & LCF_RANKER_EXAMPLES    ? "vectors, examples and retrieved examples"
                        : needs & LCF_RANKER_KNOWLEDGE ? "vectors and knowledge"
                                                       : "vectors");
    return LCF_OK;
}

lcf_status side_dirs_describe(lcf_manifest *m, const side_dirs *dirs, unsigned needs, lcf_err *err)
{
    const lcf_input inputs[] = {
        {"vectors", needs & LCF_RANKER_VECTORS ? dirs->vectors : NULL},
        {"examples", needs & LCF_RANKER_EXAMPLES ? dirs->examples : NULL},
        {"retrieved", needs & LCF_RANKER_EXAMPLES ? dirs->retrieved : NULL},
        {"knowledge", needs & LCF_RANKER_KNOWLEDGE ? dirs->knowledge : NULL},
        {NULL, NULL}};

    return lcf_manifest_inputs(m, inputs, err);
}

static lcf_status open_vectors(side_inputs *s, lcf_ranker_config *config, const lcf_dataset *d,
                               const char *dir, lcf_err *err)
{
    lcf_status status = lcf_manifest_made_of(dir, "dataset", d->id, err);

    if (!status)
        status = lcf_embeddings_open_in(&s->vectors, dir, "items.lcf", err);
    if (status)
        return status;
    s->source.item_vectors = &s->vectors;
    config->text_dim = (uint32_t)s->vectors.dim;
    return LCF_OK;
}

static lcf_status open_examples(side_inputs *s, lcf_ranker_config *config, const lcf_dataset *d,
                                const side_dirs *dirs, lcf_err *err)
{
    lcf_status status = lcf_examples_open(&s->examples, dirs->examples, err);

    if (status)
        return status;
    s->source.examples = &s->examples;
    config->cot_dim = (uint32_t)s->examples.cot_dim;
    status = lcf_retrieved_open_dir(&s->retrieved, dirs->retrieved, d, dirs->examples,
                                    s->examples.n, err);
    if (status)
        return status;
    config->k = s->retrieved.rule.k;
    config->balanced = s->retrieved.rule.balanced;
    config->mode = s->retrieved.rule.mode;
    config->by = s->retrieved.rule.by;
    return LCF_OK;
}

static lcf_status open_knowledge(side_inputs *s, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "knowledge.lcf");
    lcf_status status = path ? lcf_knowledge_open(&s->knowledge, path, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    if (!status)
        s->source.knowledge = &s->knowledge;
    return status;
}

lcf_status side_inputs_open(side_inputs *s, lcf_ranker_config *config, const lcf_dataset *d,
                            const side_dirs *dirs, unsigned needs, lcf_err *err)
{
    lcf_status status = LCF_OK;

    memset(s, 0, sizeof(*s));
    s->source.catalogue = &d->catalogue;
    config->users_n = d->users_n;
    config->brands_n = d->catalogue.brands_n;
    config->categories_n = d->catalogue.categories_n;
    if (needs & LCF_RANKER_VECTORS)
        status = open_vectors(s, config, d, dirs->vectors, err);
    if (!status && needs & LCF_RANKER_EXAMPLES)
        status = open_examples(s, config, d, dirs, err);
    if (!status && needs & LCF_RANKER_KNOWLEDGE)
        status = open_knowledge(s, dirs->knowledge, err);
    if (status)
        side_inputs_close(s);
    return status;
}

void side_inputs_close(side_inputs *s)
{
    lcf_knowledge_close(&s->knowledge);
    lcf_retrieved_close(&s->retrieved);
    lcf_examples_close(&s->examples);
    lcf_embeddings_close(&s->vectors);
    memset(s, 0, sizeof(*s));
}

lcf_ranker_row side_inputs_row(const side_inputs *s, const lcf_dataset *d, size_t sample)
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
