/* Opens and checks the inputs of training. Invariant: every example index of a row is in range. */
#include "offline/train/inputs.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/judgements.h"
#include "common/model/codes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* AUC needs both labels in every split, and so does learning. */
static lcf_status check_splits(const lcf_dataset *d, const char *dir, lcf_err *err)
{
    for (size_t split = 0; split < 3; split++) {
        size_t n[2] = {0, 0};

        for (size_t i = d->split_begin[split]; i < d->split_begin[split + 1]; i++)
            n[d->sample_label[i] != 0]++;
        if (!n[0] || !n[1])
            return LCF_FAIL(err, LCF_EINVAL,
                            "%s: the %s split has %zu negative and %zu positive samples; training "
                            "and its measures need both",
                            dir, LCF_SPLIT_NAMES[split], n[0], n[1]);
    }
    return LCF_OK;
}

static lcf_status open_vectors(train_inputs *in, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "items.lcf");
    lcf_status status;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    status = lcf_embeddings_open(&in->vectors, path, err);
    free(path);
    if (!status)
        in->source.item_vectors = &in->vectors;
    return status;
}

static lcf_status open_examples(train_inputs *in, const lcf_train_options *o, lcf_err *err)
{
    lcf_status status = lcf_examples_open(&in->examples, o->examples_dir, err);

    if (status)
        return status;
    in->source.examples = &in->examples;
    status = lcf_retrieved_open_dir(&in->retrieved, o->retrieved_dir, &in->dataset, o->examples_dir,
                                    in->examples.n, err);
    if (status)
        return status;
    in->config.k = in->retrieved.rule.k;
    in->config.balanced = in->retrieved.rule.balanced;
    in->config.mode = in->retrieved.rule.mode;
    in->config.by = in->retrieved.rule.by;
    return LCF_OK;
}

static lcf_status open_knowledge(train_inputs *in, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "knowledge.lcf");
    lcf_status status = path ? lcf_knowledge_open(&in->knowledge, path, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    if (!status)
        in->source.knowledge = &in->knowledge;
    return status;
}

lcf_ranker_row train_inputs_row(const train_inputs *in, size_t idx)
{
    const lcf_sample s = lcf_dataset_sample(&in->dataset, idx);
    const lcf_retrieved *r = &in->retrieved;
    const size_t k = in->config.k;
    const lcf_ranker_row row = {
        .user = s.user,
        .item = s.item,
        .history = s.history,
        .history_n = s.history_n,
        .examples = r->ids ? r->ids + idx * k : NULL,
        .similarities = r->ids ? r->scores + idx * k : NULL,
        .time = s.time,
        .context = (uint32_t)idx + 1,
        .history_labels =
            in->event_labels ? in->event_labels + (s.history - in->dataset.event_item) : NULL};

    return row;
}

static lcf_status make_event_labels(train_inputs *in, lcf_err *err)
{
    const lcf_dataset *d = &in->dataset;

    if (!in->config.history_labels)
        return LCF_OK;
    in->event_labels = lcf_alloc(d->events_n + 1, 1);
    if (!in->event_labels)
        return LCF_FAIL(err, LCF_ENOMEM, "labels of %zu events", d->events_n);
    for (size_t i = 0; i < d->events_n; i++)
        in->event_labels[i] = lcf_event_label(d, i);
    return LCF_OK;
}

/*
 * The labels of training. A row that a language model has judged with probability q of Yes is to
 * lose BCE(y) + w BCE(q): since BCE is linear in its label, that is (1 + w) BCE((y + w q) / (1 +
 * w)).
 *
 * source   Hinton, Vinyals, Dean 2015 (distillation); llm-cf.md section 5 (KD, weight 0.1)
 */
static lcf_status make_labels(train_inputs *in, const lcf_judgements *judged, double weight,
                              lcf_err *err)
{
    const lcf_dataset *d = &in->dataset;
    const size_t n = d->split_begin[LCF_VALID];

    in->labels = lcf_alloc(n + 1, sizeof(*in->labels));
    in->weights = judged ? lcf_alloc(n + 1, sizeof(*in->weights)) : NULL;
    if (!in->labels || (judged && !in->weights))
        return LCF_FAIL(err, LCF_ENOMEM, "labels of %zu rows", n);
    for (size_t i = 0; i < n; i++) {
        in->labels[i] = d->sample_label[i];
        if (judged)
            in->weights[i] = 1.0f;
    }
    for (size_t i = 0; judged && i < judged->n && judged->row[i] < n; i++) {
        const uint64_t row = judged->row[i];
        const double yes = 1.0 / (1.0 + exp(-(double)judged->logit[i]));

        in->labels[row] = (float)(((double)in->labels[row] + weight * yes) / (1.0 + weight));
        in->weights[row] = (float)(1.0 + weight);
    }
    return LCF_OK;
}

/* Of the train split alone: nothing that is to be predicted may stand in the graph. */
static lcf_status list_liked(train_inputs *in, lcf_err *err)
{
    const lcf_dataset *d = &in->dataset;
    const size_t n = d->split_begin[LCF_VALID];

    if (!lcf_ranker_takes_graph(in->config.backbone))
        return LCF_OK;
    in->liked_user = lcf_alloc(n + 1, sizeof(*in->liked_user));
    in->liked_item = lcf_alloc(n + 1, sizeof(*in->liked_item));
    if (!in->liked_user || !in->liked_item)
        return LCF_FAIL(err, LCF_ENOMEM, "graph of %zu rows", n);
    for (size_t i = 0; i < n; i++)
        if (d->sample_label[i]) {
            in->liked_user[in->liked_n] = d->sample_user[i];
            in->liked_item[in->liked_n++] = d->sample_item[i];
        }
    return LCF_OK;
}

static lcf_status read_labels(train_inputs *in, const lcf_train_options *o, lcf_err *err)
{
    char *path = o->judged_dir ? lcf_path_join(o->judged_dir, "judgements.lcf") : NULL;
    lcf_judgements judged = {.n = 0};
    lcf_status status = LCF_OK;

    if (o->judged_dir && !path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", o->judged_dir);
    if (path)
        status = lcf_manifest_made_of(o->judged_dir, "dataset", in->dataset.id, err);
    if (!status && path)
        status = lcf_judgements_open(&judged, path, in->dataset.samples_n, err);
    if (!status && path && (!judged.n || judged.row[0] >= in->dataset.split_begin[LCF_VALID]))
        status = LCF_FAIL(err, LCF_EINVAL, "%s judges no training row", path);
    if (!status)
        status = make_labels(in, path ? &judged : NULL, o->distill_weight, err);
    lcf_judgements_close(&judged);
    free(path);
    return status;
}

static void fill_config(train_inputs *in, const lcf_train_options *o)
{
    const lcf_ranker_config published = LCF_RANKER_CONFIG_INIT;
    lcf_ranker_config *c = &in->config;

    *c = published;
    c->backbone = o->backbone;
    c->side = o->side;
    c->order = o->order;
    c->history_labels = o->history_labels;
    c->head_norm = o->head_norm;
    c->users_n = in->dataset.users_n;
    c->items_n = in->dataset.catalogue.items_n;
    c->brands_n = in->dataset.catalogue.brands_n;
    c->categories_n = in->dataset.catalogue.categories_n;
    lcf_ranker_config_fields(c, in->dataset.fields);
    c->dropout = (float)o->params.dropout;
    c->dim = o->params.dim;
    c->graph_layers_n = o->params.graph_layers_n;
    if (lcf_ranker_has_codes(o->backbone))
        c->code_scale = (float)o->params.code_scale;
    c->rec_weight = (float)o->params.rec_weight;
}

lcf_status train_inputs_open(train_inputs *in, const lcf_train_options *o, lcf_err *err)
{
    const unsigned needs = lcf_ranker_side_needs(o->side);
    lcf_status status;

    memset(in, 0, sizeof(*in));
    status = lcf_dataset_open(&in->dataset, o->dataset_dir, err);
    if (status)
        return status;
    in->source.catalogue = &in->dataset.catalogue;
    in->source.fields = in->dataset.fields;
    fill_config(in, o);
    status = check_splits(&in->dataset, o->dataset_dir, err);
    if (!status && o->init_dir) {
        status = lcf_dataset_open(&in->before, o->init_dataset_dir, err);
        in->init_dir = status ? NULL : o->init_dir;
    }
    if (!status && needs & LCF_RANKER_VECTORS)
        status = open_vectors(in, o->vectors_dir, err);
    if (!status && needs & LCF_RANKER_EXAMPLES)
        status = open_examples(in, o, err);
    if (!status && needs & LCF_RANKER_KNOWLEDGE)
        status = open_knowledge(in, o->knowledge_dir, err);
    if (!status)
        status = make_event_labels(in, err);
    if (!status)
        status = list_liked(in, err);
    if (!status)
        status = read_labels(in, o, err);
    in->config.text_dim = (uint32_t)in->vectors.dim;
    in->config.cot_dim = (uint32_t)in->examples.cot_dim;
    if (status)
        train_inputs_close(in);
    return status;
}

void train_inputs_close(train_inputs *in)
{
    free(in->event_labels);
    free(in->labels);
    free(in->weights);
    free(in->liked_user);
    free(in->liked_item);
    lcf_retrieved_close(&in->retrieved);
    lcf_knowledge_close(&in->knowledge);
    if (in->examples.bundle)
        lcf_examples_close(&in->examples);
    if (in->vectors.bundle)
        lcf_embeddings_close(&in->vectors);
    if (in->init_dir)
        lcf_dataset_close(&in->before);
    lcf_dataset_close(&in->dataset);
    memset(in, 0, sizeof(*in));
}
