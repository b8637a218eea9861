/* Phase 2 of ILM; see the header. */
#include "offline/ilm/soft_train.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/llama/llama_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLICES = 4 }; /* of a step's entities: fixed, so that sums do not depend on threads */

/* An item or a user in one row of a batch: its soft tokens there have ids of their own, so that the
 * gradients of rows can be weighed apart. */
typedef struct place {
    uint32_t entity; /* index into the batch's list */
    uint32_t row;
} place;

typedef struct batch {
    lcf_ilm_row *rows;   /* [batch_rows] */
    lcf_train_seq *seqs; /* [batch_rows] */
    uint32_t *list;      /* [list_n] the entities of all rows, in the order of appearance */
    size_t list_n, list_capacity;
    uint32_t *where; /* [entities] place in the list, plus 1; 0: not in it */
    place *places;
    size_t places_n, places_capacity;
    float *vectors;             /* [list_n, item_dim] */
    float *grads;               /* [list_n, tokens, dim] of the objective */
    float *rows_in, *rows_grad; /* [places_n, tokens, dim] what the model reads, and its gradient */
    size_t vectors_capacity, grads_capacity, in_capacity, out_capacity;
} batch;

typedef struct slice {
    lcf_tape *tape;
    lcf_grads grads[LCF_ILM_PARTS_N];
    lcf_tensor *rows; /* of the forward pass in progress */
    lcf_rng rng;
} slice;

struct lcf_ilm_trainer {
    lcf_ilm_adapter *a;
    const lcf_ilm_tasks *tasks;
    const lcf_soft_form *form;
    const lcf_cf_vectors *v;
    lcf_ilm_train_options o;
    lcf_pool *pool;
    lcf_llama_trainer *llama;
    size_t width, parts_n; /* floats of an entity's soft tokens; parts of the adapter */
    lcf_adam adam[LCF_ILM_PARTS_N];
    slice slices[SLICES];
    batch batch;
    bool record; /* of the passes in progress */
    /* the valid rows, by task, and the table of all entities */
    lcf_ilm_row *valid;
    lcf_train_seq *valid_seqs;
    size_t valid_n, valid_begin[LCF_ILM_TASKS_N + 1];
    float *table;
    /* progress */
    uint64_t step, best_step, bad;
    double best, train_sum; /* train_sum: of the losses since the last point */
    float *best_values[LCF_ILM_PARTS_N];
    lcf_ilm_point *points;
    size_t points_n, points_capacity;
    uint64_t tokens;
    double seconds;
};

/* ---- life cycle ---- */

static lcf_status create_parts(lcf_ilm_trainer *t, lcf_err *err)
{
    lcf_adam_options options = LCF_ADAM_OPTIONS_INIT;
    lcf_status status = LCF_OK;

    options.weight_decay = t->o.weight_decay;
    options.decoupled = true;
    for (size_t part = 0; part < LCF_ILM_PARTS_N && !status; part++) {
        const lcf_params *p = lcf_ilm_adapter_params(t->a, part);

        if (!p)
            break;
        t->parts_n = part + 1;
        status = lcf_adam_init(&t->adam[part], p, &options, err);
        for (size_t i = 0; i < SLICES && !status; i++)
            status = lcf_grads_init(&t->slices[i].grads[part], p, err);
        t->best_values[part] = lcf_alloc(p->values_n, sizeof(float));
        if (!status && !t->best_values[part])
            status = LCF_FAIL(err, LCF_ENOMEM, "%zu weights", p->values_n);
        if (!status)
            memcpy(t->best_values[part], p->values, p->values_n * sizeof(float));
    }
    for (size_t i = 0; i < SLICES && !status; i++)
        status = lcf_tape_create(&t->slices[i].tape, err);
    return status;
}

static lcf_status create_batch(lcf_ilm_trainer *t, lcf_err *err)
{
    batch *b = &t->batch;

    b->rows = lcf_alloc_zero(t->o.batch_rows, sizeof(*b->rows));
    b->seqs = lcf_alloc_zero(t->o.batch_rows, sizeof(*b->seqs));
    b->where = lcf_alloc_zero(lcf_cf_entities(t->v), sizeof(*b->where));
    t->table = lcf_alloc(lcf_cf_entities(t->v), t->width * sizeof(*t->table));
    if (!b->rows || !b->seqs || !b->where || !t->table)
        return LCF_FAIL(err, LCF_ENOMEM, "soft tokens of %zu items and users",
                        lcf_cf_entities(t->v));
    return LCF_OK;
}

static lcf_train_seq seq_of(const lcf_ilm_row *row)
{
    return (lcf_train_seq){row->tokens.ids, row->targets, NULL, NULL, row->tokens.n};
}

static size_t valid_count(const lcf_ilm_trainer *t, lcf_ilm_task task)
{
    const size_t n = lcf_ilm_task_rows(t->tasks, task, LCF_VALID).n;

    if (!(lcf_ilm_task_share(t->tasks, task) > 0))
        return 0;
    return n < t->o.valid_rows ? n : t->o.valid_rows;
}

static lcf_status make_valid(lcf_ilm_trainer *t, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t task = 0; task < LCF_ILM_TASKS_N; task++)
        t->valid_n += valid_count(t, (lcf_ilm_task)task);
    t->valid = lcf_alloc_zero(t->valid_n, sizeof(*t->valid));
    t->valid_seqs = lcf_alloc_zero(t->valid_n, sizeof(*t->valid_seqs));
    if (!t->valid || !t->valid_seqs)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu rows", t->valid_n);
    for (size_t task = 0, at = 0; task < LCF_ILM_TASKS_N; task++) {
        const lcf_ilm_rows rows = lcf_ilm_task_rows(t->tasks, (lcf_ilm_task)task, LCF_VALID);
        const size_t n = valid_count(t, (lcf_ilm_task)task);

        for (size_t i = 0; i < n && !status; i++, at++) {
            status = lcf_ilm_row_make(&t->valid[at], t->tasks, t->form, (lcf_ilm_task)task,
                                      rows.list[i * rows.n / n], true, err);
            t->valid_seqs[at] = seq_of(&t->valid[at]);
        }
        t->valid_begin[task + 1] = at;
    }
    return status;
}

static lcf_status create_llama(lcf_ilm_trainer *t, const lcf_llama *m, lcf_err *err)
{
    lcf_llama_train_options o = LCF_LLAMA_TRAIN_OPTIONS_INIT;

    o.frozen = true;
    o.precision = t->o.precision;
    o.seed = t->o.seed;
    return lcf_llama_trainer_from(&t->llama, m, &o, err);
}

lcf_status lcf_ilm_trainer_create(lcf_ilm_trainer **out, const lcf_llama *m, lcf_ilm_adapter *a,
                                  const lcf_ilm_tasks *tasks, const lcf_soft_form *form,
                                  const lcf_cf_vectors *v, const lcf_ilm_train_options *options,
                                  lcf_pool *pool, lcf_err *err)
{
    lcf_ilm_trainer *t = NULL;
    lcf_status status = lcf_ilm_adapter_check(a, m, v, err);

    *out = NULL;
    if (status)
        return status;
    t = lcf_alloc_zero(1, sizeof(*t));
    if (!t)
        return LCF_FAIL(err, LCF_ENOMEM, "trainer");
    t->a = a;
    t->tasks = tasks;
    t->form = form;
    t->v = v;
    t->o = *options;
    t->pool = pool;
    t->width = form->tokens_n * m->config.dim;
    t->best = INFINITY;
    status = create_parts(t, err);
    if (!status)
        status = create_batch(t, err);
    if (!status)
        status = make_valid(t, err);
    if (!status)
        status = create_llama(t, m, err);
    if (!status) {
        *out = t;
        t = NULL;
    }
    lcf_ilm_trainer_free(t);
    return status;
}

static void dispose_batch(batch *b, size_t rows_n)
{
    for (size_t i = 0; b->rows && i < rows_n; i++)
        lcf_ilm_row_dispose(&b->rows[i]);
    free(b->rows);
    free(b->seqs);
    free(b->list);
    free(b->where);
    free(b->places);
    free(b->vectors);
    free(b->grads);
    free(b->rows_in);
    free(b->rows_grad);
}

void lcf_ilm_trainer_free(lcf_ilm_trainer *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < SLICES; i++) {
        lcf_tape_free(t->slices[i].tape);
        for (size_t part = 0; part < LCF_ILM_PARTS_N; part++)
            lcf_grads_dispose(&t->slices[i].grads[part]);
    }
    for (size_t part = 0; part < LCF_ILM_PARTS_N; part++) {
        lcf_adam_dispose(&t->adam[part]);
        free(t->best_values[part]);
    }
    dispose_batch(&t->batch, t->o.batch_rows);
    for (size_t i = 0; t->valid && i < t->valid_n; i++)
        lcf_ilm_row_dispose(&t->valid[i]);
    free(t->valid);
    free(t->valid_seqs);
    free(t->table);
    free(t->points);
    lcf_llama_trainer_free(t->llama);
    free(t);
}

const lcf_grads *lcf_ilm_trainer_grads(const lcf_ilm_trainer *t, size_t part)
{
    return &t->slices[0].grads[part];
}

lcf_ilm_curve lcf_ilm_trainer_curve(const lcf_ilm_trainer *t)
{
    return (lcf_ilm_curve){t->points, t->points_n, t->step,   t->best_step,
                           t->best,   t->tokens,   t->seconds};
}

/* ---- a batch ---- */

static lcf_status draw_row(lcf_ilm_row *row, const lcf_ilm_trainer *t, uint64_t step, size_t i,
                           lcf_err *err)
{
    size_t task = 0, last = 0;
    lcf_ilm_rows rows;
    lcf_rng rng;
    double at;

    lcf_rng_seed(&rng, t->o.seed, step * t->o.batch_rows + i);
    at = lcf_rng_f64(&rng);
    for (task = 0; task < LCF_ILM_TASKS_N; task++) {
        const double share = lcf_ilm_task_share(t->tasks, (lcf_ilm_task)task);

        if (!(share > 0))
            continue;
        last = task;
        if (at < share)
            break;
        at -= share;
    }
    rows = lcf_ilm_task_rows(t->tasks, (lcf_ilm_task)last, LCF_TRAIN);
    return lcf_ilm_row_make(row, t->tasks, t->form, (lcf_ilm_task)last,
                            rows.list[lcf_rng_below(&rng, rows.n)], true, err);
}

/* The place of an entity in row `row`, whose places begin at `first`. */
static lcf_status place_of(size_t *out, batch *b, size_t first, uint32_t entity, uint32_t row,
                           lcf_err *err)
{
    uint32_t *where = &b->where[entity];

    for (*out = first; *out < b->places_n; ++*out)
        if (b->list[b->places[*out].entity] == entity)
            return LCF_OK;
    if (lcf_grow((void **)&b->places, &b->places_capacity, b->places_n + 1, sizeof(*b->places)) ||
        lcf_grow((void **)&b->list, &b->list_capacity, b->list_n + 1, sizeof(*b->list)))
        return LCF_FAIL(err, LCF_ENOMEM, "items and users of a batch");
    if (!*where) {
        b->list[b->list_n] = entity;
        *where = (uint32_t)++b->list_n;
    }
    b->places[b->places_n++] = (place){*where - 1, row};
    return LCF_OK;
}

/* Soft tokens of a row from the numbering of all entities to that of the batch's places. */
static lcf_status place_row(lcf_ilm_trainer *t, size_t row, lcf_err *err)
{
    batch *b = &t->batch;
    lcf_tokens *tokens = &b->rows[row].tokens;
    const size_t vocab_n = t->form->vocab_n, k = t->form->tokens_n, first = b->places_n;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < tokens->n && !status; i++) {
        size_t soft, at;

        if (tokens->ids[i] < vocab_n)
            continue;
        soft = tokens->ids[i] - vocab_n;
        status = place_of(&at, b, first, (uint32_t)(soft / k), (uint32_t)row, err);
        tokens->ids[i] = (uint32_t)(vocab_n + at * k + soft % k);
    }
    return status;
}

static lcf_status reserve(lcf_ilm_trainer *t, lcf_err *err)
{
    batch *b = &t->batch;
    const size_t entity_bytes = t->width * sizeof(float);

    if (lcf_grow((void **)&b->vectors, &b->vectors_capacity, b->list_n,
                 t->v->dim * sizeof(float)) ||
        lcf_grow((void **)&b->grads, &b->grads_capacity, b->list_n, entity_bytes) ||
        lcf_grow((void **)&b->rows_in, &b->in_capacity, b->places_n, entity_bytes) ||
        lcf_grow((void **)&b->rows_grad, &b->out_capacity, b->places_n, entity_bytes))
        return LCF_FAIL(err, LCF_ENOMEM, "soft tokens of %zu items and users", b->list_n);
    return LCF_OK;
}

static lcf_status make_batch(lcf_ilm_trainer *t, uint64_t step, lcf_err *err)
{
    batch *b = &t->batch;
    lcf_status status = LCF_OK;

    b->list_n = b->places_n = 0;
    for (size_t i = 0; i < t->o.batch_rows && !status; i++) {
        status = draw_row(&b->rows[i], t, step, i, err);
        if (!status)
            status = place_row(t, i, err);
        b->seqs[i] = seq_of(&b->rows[i]);
    }
    for (size_t i = 0; i < b->list_n; i++)
        b->where[b->list[i]] = 0;
    if (!status)
        status = reserve(t, err);
    for (size_t i = 0; i < b->list_n && !status; i++)
        memcpy(b->vectors + i * t->v->dim, t->v->values + b->list[i] * t->v->dim,
               t->v->dim * sizeof(float));
    return status;
}

/* ---- passes of the adapter ---- */

static size_t slice_begin(const lcf_ilm_trainer *t, size_t i)
{
    return t->batch.list_n * i / SLICES;
}

static lcf_status forward_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    lcf_ilm_trainer *t = arg;
    slice *s = &t->slices[task];
    const size_t first = slice_begin(t, task), n = slice_begin(t, task + 1) - first;
    lcf_ilm_pass p = {.tape = s->tape, .a = t->a, .rng = &s->rng};

    (void)worker;
    s->rows = NULL;
    if (!n)
        return LCF_OK;
    for (size_t part = 0; part < t->parts_n; part++)
        p.grads[part] = t->record ? &s->grads[part] : NULL;
    lcf_tape_reset(s->tape, t->record);
    s->rows = lcf_ilm_adapter_forward(&p, t->batch.vectors + first * t->v->dim, n);
    if (lcf_tape_status(s->tape))
        return LCF_FAIL(err, lcf_tape_status(s->tape), "soft tokens of %zu vectors", n);
    return LCF_OK;
}

/* The soft tokens of the batch, where the model reads them. */
static lcf_status forward(lcf_ilm_trainer *t, uint64_t step, bool record, lcf_err *err)
{
    batch *b = &t->batch;
    lcf_status status;

    t->record = record;
    for (size_t i = 0; i < SLICES; i++)
        lcf_rng_seed(&t->slices[i].rng, t->o.seed + 1, step * SLICES + i);
    status = lcf_pool_run(t->pool, SLICES, forward_task, t, err);
    for (size_t i = 0; i < b->places_n && !status; i++) {
        const size_t entity = b->places[i].entity;
        size_t at = 0;

        while (entity >= slice_begin(t, at + 1))
            at++;
        memcpy(b->rows_in + i * t->width,
               t->slices[at].rows->data + (entity - slice_begin(t, at)) * t->width,
               t->width * sizeof(float));
    }
    return status;
}

static lcf_status backward_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    lcf_ilm_trainer *t = arg;
    slice *s = &t->slices[task];
    size_t shape[2] = {1, s->rows ? s->rows->n : 0};
    lcf_tensor *grads, *rows;

    (void)worker;
    for (size_t part = 0; part < t->parts_n; part++)
        lcf_grads_zero(&s->grads[part]);
    if (!s->rows)
        return LCF_OK;
    /* <rows, grads> has the gradient that the model gave */
    grads = lcf_tape_input(s->tape, t->batch.grads + slice_begin(t, task) * t->width, shape, 2);
    rows = lcf_op_reshape(s->tape, s->rows, shape, 2);
    rows = lcf_op_linear(s->tape, rows, grads, NULL);
    if (!lcf_tape_status(s->tape))
        lcf_tape_backward(s->tape, rows);
    if (lcf_tape_status(s->tape))
        return LCF_FAIL(err, lcf_tape_status(s->tape), "gradients of an adapter");
    return LCF_OK;
}

/* From the model's gradients to the adapter's, in slice 0. */
static lcf_status backward(lcf_ilm_trainer *t, lcf_err *err)
{
    batch *b = &t->batch;
    lcf_status status;

    memset(b->grads, 0, b->list_n * t->width * sizeof(float));
    for (size_t i = 0; i < b->places_n; i++) {
        const size_t targets_n = b->rows[b->places[i].row].targets_n;
        const float weight = 1.0f / (float)(targets_n * t->o.batch_rows);
        float *to = b->grads + b->places[i].entity * t->width;

        for (size_t d = 0; d < t->width; d++)
            to[d] += weight * b->rows_grad[i * t->width + d];
    }
    status = lcf_pool_run(t->pool, SLICES, backward_task, t, err);
    for (size_t part = 0; part < t->parts_n && !status; part++)
        for (size_t i = 1; i < SLICES && !status; i++)
            status = lcf_grads_add(&t->slices[0].grads[part], &t->slices[i].grads[part]);
    return status;
}

/* ---- steps ---- */

static void give_soft(lcf_ilm_trainer *t, const float *rows, float *grads, size_t entities)
{
    const lcf_train_soft soft = {{rows, entities * t->form->tokens_n}, grads};

    lcf_llama_trainer_soft(t->llama, &soft);
}

/* The model's loss and its gradients of the places. */
static lcf_status learn(double *loss, lcf_ilm_trainer *t, lcf_err *err)
{
    batch *b = &t->batch;
    lcf_status status;

    memset(b->rows_grad, 0, b->places_n * t->width * sizeof(float));
    give_soft(t, b->rows_in, b->rows_grad, b->places_n);
    status =
        lcf_llama_trainer_accumulate(t->llama, b->seqs, t->o.batch_rows, 0, true, t->pool, err);
    if (!status)
        status = lcf_llama_trainer_apply(loss, t->llama, t->pool, err);
    for (size_t i = 0; i < t->o.batch_rows; i++)
        t->tokens += b->rows[i].tokens.n;
    return status;
}

static lcf_status update(lcf_ilm_trainer *t, lcf_err *err)
{
    const float rate =
        lcf_lr_at(t->o.schedule, t->o.peak_lr, t->o.floor_lr, t->step, t->o.warmup, t->o.steps);
    double norm = 0;
    float scale;

    for (size_t part = 0; part < t->parts_n; part++)
        norm = hypot(norm, lcf_grads_norm(&t->slices[0].grads[part]));
    if (!isfinite(norm))
        return LCF_FAIL(err, LCF_EDIVERGED, "step %llu: gradient norm %g; lower the learning rate",
                        (unsigned long long)t->step, norm);
    scale = t->o.clip_norm > 0 && norm > t->o.clip_norm ? (float)(t->o.clip_norm / norm) : 1.0f;
    for (size_t part = 0; part < t->parts_n; part++) {
        lcf_params *p = lcf_ilm_adapter_params(t->a, part);

        lcf_adam_step_range(&t->adam[part], p, &t->slices[0].grads[part], rate, scale, 0,
                            p->values_n);
        lcf_adam_advance(&t->adam[part]);
    }
    t->step++;
    return LCF_OK;
}

lcf_status lcf_ilm_trainer_step(double *loss, lcf_ilm_trainer *t, lcf_err *err)
{
    const double start = lcf_clock_s();
    lcf_status status = make_batch(t, t->step, err);

    *loss = 0;
    if (!status)
        status = forward(t, t->step, true, err);
    if (!status)
        status = learn(loss, t, err);
    if (!status)
        status = backward(t, err);
    if (!status)
        status = update(t, err);
    t->seconds += lcf_clock_s() - start;
    return status;
}

lcf_status lcf_ilm_trainer_objective(double *out, lcf_ilm_trainer *t, uint64_t step, lcf_err *err)
{
    batch *b = &t->batch;
    lcf_status status = make_batch(t, step, err);

    *out = 0;
    if (!status)
        status = forward(t, step, false, err);
    if (status)
        return status;
    give_soft(t, b->rows_in, NULL, b->places_n);
    for (size_t i = 0; i < t->o.batch_rows && !status; i++) {
        double nll;
        uint64_t n;

        status = lcf_llama_trainer_eval(&nll, &n, t->llama, &b->seqs[i], 1, t->pool, err);
        *out += nll / (double)(b->rows[i].targets_n * t->o.batch_rows);
    }
    return status;
}

lcf_status lcf_ilm_trainer_valid(double *loss, lcf_ilm_trainer *t, lcf_err *err)
{
    lcf_status status = lcf_ilm_adapter_table(t->table, t->a, t->v, t->pool, err);

    *loss = 0;
    give_soft(t, t->table, NULL, lcf_cf_entities(t->v));
    for (size_t task = 0; task < LCF_ILM_TASKS_N && !status; task++) {
        const size_t first = t->valid_begin[task], n = t->valid_begin[task + 1] - first;
        double nll;
        uint64_t targets;

        if (!n)
            continue;
        status = lcf_llama_trainer_eval(&nll, &targets, t->llama, t->valid_seqs + first, n, t->pool,
                                        err);
        *loss += lcf_ilm_task_share(t->tasks, (lcf_ilm_task)task) * nll / (double)targets;
    }
    return status;
}

/* ---- state ---- */

enum { COUNTERS_N = 4, FIGURES_N = 2 };

/* The blocks of floats of a part and their names. */
typedef struct block {
    const char *name;
    float *values;
} block;

enum { BLOCKS_N = 4 };

static void blocks_of(block out[BLOCKS_N], char names[BLOCKS_N][32], lcf_ilm_trainer *t,
                      size_t part)
{
    static const char *const KINDS[BLOCKS_N] = {"values", "adam.m", "adam.v", "best"};
    float *const values[BLOCKS_N] = {lcf_ilm_adapter_params(t->a, part)->values, t->adam[part].m,
                                     t->adam[part].v, t->best_values[part]};

    for (size_t i = 0; i < BLOCKS_N; i++) {
        snprintf(names[i], 32, "%s.%s", part ? "qformer" : "adapter", KINDS[i]);
        out[i] = (block){names[i], values[i]};
    }
}

static lcf_status add_state(lcf_bundle_writer *w, lcf_ilm_trainer *t, lcf_err *err)
{
    const uint64_t counters[COUNTERS_N] = {t->step, t->best_step, t->bad, t->adam[0].step};
    const double figures[FIGURES_N] = {t->best, t->train_sum};
    const uint64_t dims[2] = {t->points_n, 3};
    lcf_status status = lcf_bundle_add_1d(w, "counters", LCF_U64, COUNTERS_N, counters, err);

    if (!status)
        status = lcf_bundle_add_1d(w, "figures", LCF_F64, FIGURES_N, figures, err);
    if (!status)
        status = lcf_bundle_add(w, "curve", LCF_F64, dims, 2, t->points, err);
    for (size_t part = 0; part < t->parts_n && !status; part++) {
        const size_t n = lcf_ilm_adapter_params(t->a, part)->values_n;
        char names[BLOCKS_N][32];
        block blocks[BLOCKS_N];

        blocks_of(blocks, names, t, part);
        for (size_t i = 0; i < BLOCKS_N && !status; i++)
            status = lcf_bundle_add_1d(w, blocks[i].name, LCF_F32, n, blocks[i].values, err);
    }
    return status;
}

static lcf_status save_state(lcf_ilm_trainer *t, const char *path, lcf_err *err)
{
    lcf_bundle_writer *w;
    lcf_status status = lcf_bundle_create(&w, path, "ilm_state", LCF_ILM_STATE_VERSION, err);

    if (status)
        return status;
    status = add_state(w, t, err);
    return lcf_bundle_finish(w, status, err);
}

static lcf_status get_part(lcf_ilm_trainer *t, const lcf_bundle *b, size_t part, lcf_err *err)
{
    uint64_t n = lcf_ilm_adapter_params(t->a, part)->values_n;
    char names[BLOCKS_N][32];
    block blocks[BLOCKS_N];
    lcf_status status = LCF_OK;

    blocks_of(blocks, names, t, part);
    for (size_t i = 0; i < BLOCKS_N && !status; i++) {
        const void *data;

        status = lcf_bundle_get(&data, b, blocks[i].name, LCF_F32, &n, 1, err);
        if (!status)
            memcpy(blocks[i].values, data, n * sizeof(float));
    }
    return status;
}

static lcf_status get_curve(lcf_ilm_trainer *t, const lcf_bundle *b, lcf_err *err)
{
    const lcf_array *curve = lcf_bundle_find(b, "curve");

    if (!curve || curve->dtype != LCF_F64 || curve->dims_n != 2 || curve->dims[1] != 3)
        return LCF_FAIL(err, LCF_EFORMAT, "state without a curve");
    if (lcf_grow((void **)&t->points, &t->points_capacity, (size_t)curve->dims[0],
                 sizeof(*t->points)))
        return LCF_FAIL(err, LCF_ENOMEM, "curve");
    t->points_n = (size_t)curve->dims[0];
    if (t->points_n)
        memcpy(t->points, curve->data, t->points_n * sizeof(*t->points));
    return LCF_OK;
}

static lcf_status load_state(lcf_ilm_trainer *t, const char *path, lcf_err *err)
{
    uint64_t n = COUNTERS_N, m = FIGURES_N, counters[COUNTERS_N];
    const void *found_counters, *found_figures;
    double figures[FIGURES_N];
    lcf_bundle *b;
    lcf_status status = lcf_bundle_open(&b, path, "ilm_state", LCF_ILM_STATE_VERSION, err);

    if (status)
        return status;
    status = lcf_bundle_get(&found_counters, b, "counters", LCF_U64, &n, 1, err);
    if (!status)
        status = lcf_bundle_get(&found_figures, b, "figures", LCF_F64, &m, 1, err);
    if (!status)
        status = get_curve(t, b, err);
    for (size_t part = 0; part < t->parts_n && !status; part++)
        status = get_part(t, b, part, err);
    if (!status) {
        memcpy(counters, found_counters, sizeof(counters));
        memcpy(figures, found_figures, sizeof(figures));
        t->step = counters[0];
        t->best_step = counters[1];
        t->bad = counters[2];
        for (size_t part = 0; part < t->parts_n; part++)
            t->adam[part].step = counters[3];
        t->best = figures[0];
        t->train_sum = figures[1];
    }
    lcf_bundle_close(b);
    return status;
}

/* ---- the run ---- */

/* A point of the curve; the weights are kept when they are the best so far. */
static lcf_status evaluate(lcf_ilm_trainer *t, lcf_err *err)
{
    const uint64_t since = t->points_n ? t->step - (uint64_t)t->points[t->points_n - 1].step : 1;
    double valid;
    lcf_status status = lcf_ilm_trainer_valid(&valid, t, err);

    if (!status && !isfinite(valid))
        status = LCF_FAIL(err, LCF_EDIVERGED, "step %llu: valid loss %g; lower the learning rate",
                          (unsigned long long)t->step, valid);
    if (!status &&
        lcf_grow((void **)&t->points, &t->points_capacity, t->points_n + 1, sizeof(*t->points)))
        status = LCF_FAIL(err, LCF_ENOMEM, "curve");
    if (status)
        return status;
    t->points[t->points_n++] =
        (lcf_ilm_point){(double)t->step, since ? t->train_sum / (double)since : 0, valid};
    t->train_sum = 0;
    t->bad++;
    if (valid < t->best) {
        t->best = valid;
        t->best_step = t->step;
        t->bad = 0;
        for (size_t part = 0; part < t->parts_n; part++) {
            const lcf_params *p = lcf_ilm_adapter_params(t->a, part);

            memcpy(t->best_values[part], p->values, p->values_n * sizeof(float));
        }
    }
    return LCF_OK;
}

static bool ended(const lcf_ilm_trainer *t)
{
    return t->step >= t->o.steps || (t->o.patience && t->bad >= t->o.patience);
}

static bool is_due(const lcf_ilm_trainer *t)
{
    return t->step % t->o.eval_every == 0 || t->step == t->o.steps;
}

static lcf_status run_steps(lcf_ilm_trainer *t, const char *state, lcf_err *err)
{
    lcf_progress progress;
    lcf_status status = t->points_n ? LCF_OK : evaluate(t, err); /* before any step */

    lcf_progress_start(&progress, "ilm", "steps", t->o.steps);
    while (!status && !ended(t)) {
        double loss;

        status = lcf_ilm_trainer_step(&loss, t, err);
        t->train_sum += loss;
        if (!status && is_due(t)) {
            status = evaluate(t, err);
            if (!status)
                status = save_state(t, state, err);
        }
        if (status)
            break;
        lcf_progress_note(&progress, "loss %.3f, valid %.3f", loss,
                          t->points[t->points_n - 1].valid);
        lcf_progress_update(&progress, t->step);
        if (lcf_stop_requested()) {
            status = save_state(t, state, err);
            if (!status && !ended(t))
                status = LCF_FAIL(err, LCF_ECANCELED,
                                  "stopped after step %llu; the same command goes on",
                                  (unsigned long long)t->step);
        }
    }
    lcf_progress_end(&progress);
    return status;
}

lcf_status lcf_ilm_trainer_run(lcf_ilm_trainer *t, const char *state, lcf_err *err)
{
    lcf_status status = lcf_path_exists(state) ? load_state(t, state, err) : LCF_OK;

    if (status)
        lcf_err_prefix(err,
                       "the state of a stopped run cannot be used; remove %s to train this "
                       "seed afresh",
                       state);
    else
        status = run_steps(t, state, err);
    for (size_t part = 0; part < t->parts_n && !status; part++) {
        lcf_params *p = lcf_ilm_adapter_params(t->a, part);

        memcpy(p->values, t->best_values[part], p->values_n * sizeof(float));
    }
    return status;
}
