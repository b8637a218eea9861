/* The report of phase 1: see phase1_report.h. */
#include "offline/ilm/phase1_report.h"

#include <math.h>

/* A number that JSON has no word for is null. */
static json_t *real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *losses_json(const double *losses)
{
    json_t *json = json_object();
    int failed = !json;

    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        if (isfinite(losses[i]))
            failed |= json_object_set_new(json, PHASE1_LOSS_NAMES[i], json_real(losses[i]));
    if (failed) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *measures_json(const phase1_measures *m)
{
    return json_pack("{s:o, s:{s:o, s:o}, s:{s:o, s:o}, s:o}", "losses", losses_json(m->losses),
                     "item_to_text", "recall_1", real(m->item_to_text_1), "recall_10",
                     real(m->item_to_text_10), "text_to_item", "recall_1", real(m->text_to_item_1),
                     "recall_10", real(m->text_to_item_10), "neighbours", real(m->neighbours));
}

static json_t *epochs_json(const phase1_result *r)
{
    json_t *list = json_array();
    int failed = !list;

    for (uint32_t i = 0; i < r->epochs_n; i++)
        failed |= json_array_append_new(
            list,
            json_pack("{s:I, s:o, s:o, s:o}", "epoch", (json_int_t)i + 1, "train",
                      losses_json(r->epochs[i].train), "criterion", real(r->epochs[i].criterion),
                      "valid", measures_json(&r->epochs[i].valid)));
    if (failed) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *parts_json(size_t train, size_t valid, size_t test)
{
    return json_pack("{s:I, s:I, s:I}", "train", (json_int_t)train, "valid", (json_int_t)valid,
                     "test", (json_int_t)test);
}

static json_t *data_json(const phase1_data *d)
{
    const phase1_pairs *ii = d->item_pairs, *ui = d->user_pairs;

    return json_pack("{s:o, s:o, s:o, s:I, s:I}", "items",
                     parts_json(d->items[0].n, d->items[1].n, d->items[2].n), "item_pairs",
                     parts_json(ii[0].n, ii[1].n, ii[2].n), "user_pairs",
                     parts_json(ui[0].n, ui[1].n, ui[2].n), "untrained", (json_int_t)d->untrained_n,
                     "without_text", (json_int_t)d->textless_n);
}

static json_t *names_json(unsigned losses)
{
    json_t *list = json_array();

    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        if (losses & PHASE1_BIT(i))
            json_array_append_new(list, json_string(PHASE1_LOSS_NAMES[i]));
    return list;
}

static json_t *model_json(const lcf_qformer *m)
{
    const lcf_qformer_config *c = lcf_qformer_config_of(m);
    const lcf_params *p = lcf_qformer_params((lcf_qformer *)m);
    size_t n = 0;

    for (size_t i = 0; i < p->list_n; i++)
        n += p->list[i].n;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "parameters", (json_int_t)n, "layers",
                     (json_int_t)c->layers, "hidden", (json_int_t)c->hidden, "heads",
                     (json_int_t)c->heads, "queries", (json_int_t)c->queries, "item_dim",
                     (json_int_t)c->item_dim, "vocab", (json_int_t)c->vocab);
}

json_t *phase1_report(const phase1_result *result, const lcf_qformer *m, const phase1_data *data,
                      const phase1_params *params)
{
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:s, s:I, s:o, s:o, s:o, s:o}", "format",
                     "llmcf-qformer-report", "version", (json_int_t)2, "model", model_json(m),
                     "data", data_json(data), "losses", names_json(params->losses), "mix",
                     params->alternate ? "alternate" : "sum", "best_epoch",
                     (json_int_t)result->best_epoch, "start", measures_json(&result->start), "test",
                     measures_json(&result->test), "seen", measures_json(&result->seen), "epochs",
                     epochs_json(result));
}
