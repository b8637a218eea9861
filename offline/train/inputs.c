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

lcf_ranker_row train_inputs_row(const train_inputs *in, size_t idx)
{
    lcf_ranker_row row = side_inputs_row(&in->side, &in->dataset, idx);

    row.item = in->dataset.sample_item[idx];
    row.context = (uint32_t)idx + 1;
    row.history_labels =
        in->event_labels ? in->event_labels + (row.history - in->dataset.event_item) : NULL;
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
    c->items_n = in->dataset.catalogue.items_n;
    lcf_ranker_config_fields(c, in->dataset.fields);
    c->dropout = (float)o->params.dropout;
    c->dim = o->params.dim;
    c->graph_layers_n = o->params.graph_layers_n;
    if (lcf_ranker_has_codes(o->backbone))
        c->code_scale = (float)o->params.code_scale;
    c->rec_weight = (float)o->params.rec_weight;
}

side_dirs train_side_dirs(const lcf_train_options *o)
{
    return (side_dirs){o->vectors_dir, o->examples_dir, o->retrieved_dir, o->knowledge_dir};
}

lcf_status train_inputs_open(train_inputs *in, const lcf_train_options *o, lcf_err *err)
{
    const side_dirs dirs = train_side_dirs(o);
    lcf_status status;

    memset(in, 0, sizeof(*in));
    status = lcf_dataset_open(&in->dataset, o->dataset_dir, err);
    if (status)
        return status;
    fill_config(in, o);
    status = check_splits(&in->dataset, o->dataset_dir, err);
    if (!status && o->init_dir) {
        status = lcf_dataset_open(&in->before, o->init_dataset_dir, err);
        in->init_dir = status ? NULL : o->init_dir;
    }
    if (!status)
        status = side_inputs_open(&in->side, &in->config, &in->dataset, &dirs,
                                  lcf_ranker_side_needs(o->side), err);
    in->side.source.fields = in->dataset.fields;
    if (!status)
        status = make_event_labels(in, err);
    if (!status)
        status = list_liked(in, err);
    if (!status)
        status = read_labels(in, o, err);
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
    side_inputs_close(&in->side);
    if (in->init_dir)
        lcf_dataset_close(&in->before);
    lcf_dataset_close(&in->dataset);
    memset(in, 0, sizeof(*in));
}
