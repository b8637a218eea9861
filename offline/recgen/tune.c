/*
 * Tuning: see the header. What a run keeps from step to step is tune_state.c.
 */
#include "offline/recgen/tune_internal.h"

#include "common/base/mem.h"
#include "common/base/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VOCABULARY_ROWS 4000 /* samples that a new vocabulary is learned from */
#define REPLAN_STEPS 10      /* with a time limit, look at the clock so often */
#define STATISTICS_ROWS 256  /* of a source, looked at for the figures given before training */

void lcf_tune_options_init(lcf_tune_options *o)
{
    *o = (lcf_tune_options){
        .dim = 192,
        .layers_n = 6,
        .vocab_n = 4096,
        .context_n = 512,
        .type = LCF_GGUF_F32,
        .sources = LCF_SOURCES_OPTIONS_INIT,
        .mixture = LCF_MIXTURE_OPTIONS_INIT,
        .batch_rows = 8,
        .accumulate = 1,
        .train = LCF_LLAMA_TRAIN_OPTIONS_INIT,
        .steps = 1000,
        .checkpoint_every = 100,
        .measure = LCF_MEASURE_OPTIONS_INIT,
        .seed = 1,
    };
    o->train.peak_lr = 3e-3f;
    o->train.warmup_steps = 30;
}

/* ---- processes ---- */

static size_t processes_of(const lcf_tune_options *o)
{
    return o->train.comm ? o->train.comm->size : 1;
}

/* Groups of rows in a step, over all processes. */
static size_t groups_of(const lcf_tune_options *o)
{
    return o->accumulate * processes_of(o);
}

void lcf_tune_result_dispose(lcf_tune_result *result)
{
    json_decref(result->mixture);
    result->mixture = NULL;
}

/* ---- identity and inputs ---- */

static lcf_status describe_model(lcf_manifest *m, const lcf_tune_options *o, lcf_err *err)
{
    const struct {
        const char *name;
        uint64_t value;
    } sizes[] = {{"dim", o->dim},          {"layers", o->layers_n},
                 {"heads", o->heads_n},    {"kv_heads", o->kv_heads_n},
                 {"ffn", o->ffn_dim},      {"vocab", o->vocab_n},
                 {"context", o->context_n}};
    lcf_status status = o->base ? lcf_manifest_input(m, "model", o->base, err) : LCF_OK;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && !o->base && !status; i++)
        status = lcf_manifest_param_i64(m, sizes[i].name, (int64_t)sizes[i].value, err);
    return status ? status : lcf_manifest_param_i64(m, "type", (int64_t)o->type, err);
}

static lcf_status describe_training(lcf_manifest *m, const lcf_tune_options *o, lcf_err *err)
{
    const struct {
        const char *name;
        double value;
    } figures[] = {{"steps", (double)o->steps},
                   {"warmup", (double)o->train.warmup_steps},
                   {"minutes", o->minutes},
                   {"batch", (double)o->batch_rows},
                   {"groups", (double)groups_of(o)},
                   {"cutoff", (double)o->mixture.cutoff},
                   {"learning_rate", o->train.peak_lr},
                   {"learning_rate_floor", o->train.floor_lr},
                   {"weight_decay", o->train.weight_decay},
                   {"clip_norm", o->train.clip_norm},
                   {"momentum", o->train.momentum},
                   {"optimizer", (double)o->train.optimizer},
                   {"schedule", (double)o->train.schedule},
                   {"precision", (double)o->train.precision},
                   {"freeze_embeddings", o->train.freeze_embeddings},
                   {"lora_rank", (double)o->train.lora.rank},
                   {"lora_alpha", o->train.lora.alpha},
                   {"lora_dropout", o->train.lora.dropout},
                   {"loss_on_prompt", o->mixture.loss_on_prompt},
                   {"eval_rows", (double)o->measure.auc_rows},
                   {"choice_rows", (double)o->measure.choice_rows},
                   {"seed", (double)o->seed}};
    lcf_status status = lcf_sources_describe(m, &o->sources, err);

    if (!status && o->train.objective == LCF_TRAIN_BINARY_CROSS_ENTROPY)
        status = lcf_manifest_param_str(m, "objective", "bce", err);
    if (!status && o->measure.choice_dir)
        status = lcf_choice_describe(m, o->measure.choice_dir, err);
    if (!status && o->adapter)
        status = lcf_manifest_input(m, "adapter", o->adapter, err);
    if (!status)
        status = lcf_manifest_param_str(m, "lora_targets", o->train.lora.targets, err);
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]) && !status; i++)
        status = lcf_manifest_param_f64(m, figures[i].name, figures[i].value, err);
    return status;
}

static lcf_status describe(tuning *t, lcf_err *err)
{
    const lcf_tune_options *o = t->o;
    lcf_status status = lcf_manifest_create(&t->manifest, "tune", err);

    if (!status && o->dataset)
        status = lcf_manifest_input(t->manifest, "dataset", o->dataset, err);
    if (!status)
        status = describe_model(t->manifest, o, err);
    if (!status)
        status = describe_training(t->manifest, o, err);
    return status;
}

static bool is_binary(const tuning *t)
{
    return t->o->train.objective == LCF_TRAIN_BINARY_CROSS_ENTROPY;
}

/* A binary objective takes sources whose answers can be Yes or No: an explanation ends with one,
 * too, but behind the decision that it was given. */
static lcf_status check_sources(const tuning *t, lcf_err *err)
{
    static const bool decides[LCF_SOURCE_KINDS_N] = {
        [LCF_SOURCE_DECIDE] = true,   [LCF_SOURCE_SESSION] = true, [LCF_SOURCE_ALPACA] = true,
        [LCF_SOURCE_SHAREGPT] = true, [LCF_SOURCE_OPENAI] = true,
    };

    for (size_t i = 0; is_binary(t) && i < lcf_sources_n(t->sources); i++) {
        const lcf_source_spec *spec = lcf_sources_info(t->sources, i).spec;

        if (!decides[spec->kind])
            return LCF_FAIL(err, LCF_EUSAGE,
                            "source '%s' answers neither Yes nor No, as --objective bce takes "
                            "them; give it sources of kind decide",
                            lcf_source_kind_name(spec->kind));
    }
    return LCF_OK;
}

static lcf_status open_inputs(tuning *t, lcf_err *err)
{
    const lcf_tune_options *o = t->o;
    lcf_sources_options sources = o->sources;
    lcf_status status = o->dataset ? lcf_dataset_open(&t->d, o->dataset, err) : LCF_OK;

    sources.seed = o->seed;
    if (!status && o->dataset)
        status = lcf_related_create(&t->related, &t->d, err);
    if (!status)
        status =
            lcf_sources_open(&t->sources, o->dataset ? &t->d : NULL, t->related, &sources, err);
    if (!status)
        status = check_sources(t, err);
    if (!status)
        status = lcf_pool_create(&t->pool, o->threads, err);
    return status;
}

/* ---- the model ---- */

static void new_config(lcf_llama_config *c, const lcf_tune_options *o, size_t vocab_n)
{
    size_t heads = o->heads_n ? o->heads_n : o->dim >= 64 ? o->dim / 32 : 1;

    *c = (lcf_llama_config){
        .vocab_n = vocab_n,
        .dim = o->dim,
        .layers_n = o->layers_n,
        .heads_n = heads,
        .kv_heads_n = o->kv_heads_n ? o->kv_heads_n
                      : heads % 2   ? heads
                                    : heads / 2,
        .head_dim = o->dim / heads,
        .ffn_dim = o->ffn_dim ? o->ffn_dim : (o->dim * 8 / 3 + 31) / 32 * 32,
        .context_n = o->context_n,
        .rope_theta = 10000.0f,
        .norm_eps = 1e-5f,
        .tied = true,
    };
}

static lcf_status check_config(const lcf_llama_config *c, lcf_err *err)
{
    if (!c->dim || !c->layers_n || c->dim % c->heads_n || c->head_dim % 2 ||
        c->heads_n % c->kv_heads_n)
        return LCF_FAIL(err, LCF_EUSAGE,
                        "dim %zu with %zu heads and %zu kv heads: dim must be a multiple of twice "
                        "the heads, and the heads of the kv heads",
                        c->dim, c->heads_n, c->kv_heads_n);
    return LCF_OK;
}

/* Answers stand behind a space, but for those of conversations in some templates. */
static bool answers_plain(const tuning *t)
{
    bool plain = lcf_chat_answers_plain(lcf_sources_get_options(t->sources)->chat);

    for (size_t i = 0; i < lcf_sources_n(t->sources); i++)
        plain = plain && lcf_sources_info(t->sources, i).spec->kind != LCF_SOURCE_DECIDE;
    return plain;
}

/* The pieces that a binary objective tells apart; the logit is that of Yes. */
static lcf_status find_answers(tuning *t, lcf_llama_train_options *train, lcf_err *err)
{
    static const char *const plain[] = {"Yes", "No"}, *const spaced[] = {" Yes", " No"};
    lcf_status status = is_binary(t) ? lcf_answers_find(&t->answers, t->tokenizer,
                                                        answers_plain(t) ? plain : spaced, 2, err)
                                     : LCF_OK;

    train->positive = t->answers.ids[0];
    return status;
}

/* A trainer of the base's weights, or of an adapter beside them. */
static lcf_status trainer_of_base(tuning *t, lcf_llama_train_options *train, lcf_err *err)
{
    const lcf_tune_options *o = t->o;
    lcf_status status = lcf_llama_open(&t->base, o->base, err);

    if (status)
        return status;
    t->tokenizer = t->base->tokenizer;
    t->config = t->base->config;
    status = find_answers(t, train, err);
    if (status)
        return status;
    if (o->adapter) {
        status = lcf_adapter_open(&t->adapter, o->adapter, err);
        if (status)
            return status;
        lcf_adapter_options(&train->lora, t->adapter);
    }
    status = lcf_llama_trainer_from(&t->trainer, t->base, train, err);
    return status || !o->adapter ? status : lcf_adapter_put(t->trainer, t->adapter, err);
}

static lcf_status make_model(tuning *t, lcf_err *err)
{
    const lcf_tune_options *o = t->o;
    lcf_llama_train_options train = o->train;
    lcf_status status;

    train.seed = o->seed;
    train.total_steps = o->steps;
    if (o->base)
        return trainer_of_base(t, &train, err);
    status = lcf_vocabulary_train(&t->own_tokenizer, t->sources, o->vocab_n, VOCABULARY_ROWS, err);
    if (status)
        return status;
    t->tokenizer = t->own_tokenizer;
    new_config(&t->config, o, lcf_tokenizer_vocab_n(t->tokenizer));
    status = check_config(&t->config, err);
    if (!status)
        status = find_answers(t, &train, err);
    return status ? status : lcf_llama_trainer_create(&t->trainer, &t->config, &train, err);
}

static lcf_status make_batches(tuning *t, lcf_err *err)
{
    const lcf_tune_options *o = t->o;
    lcf_mixture_options mixture = o->mixture;
    lcf_status status;

    if (is_binary(t))
        mixture.loss_on_prompt = false; /* a Yes in a question decides nothing */
    if (o->mixture.cutoff > t->config.context_n)
        return LCF_FAIL(err, LCF_EUSAGE, "rows of %zu tokens for a model with a context of %zu",
                        o->mixture.cutoff, t->config.context_n);
    t->rows = lcf_alloc_zero(o->batch_rows, sizeof(*t->rows));
    if (!t->rows)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu rows", o->batch_rows);
    status = lcf_mixture_create(&t->mixture, t->sources, t->tokenizer, &mixture, err);
    return status ? status : lcf_pack_init(&t->pack, o->batch_rows, o->mixture.cutoff, err);
}

/* One source's figures; *mean_tokens: of a row. */
static lcf_status look_at(double *mean_tokens, tuning *t, size_t source, lcf_err *err)
{
    lcf_source_info info = lcf_sources_info(t->sources, source);
    lcf_mixture_statistics s;
    lcf_status status = lcf_mixture_look(&s, t->mixture, source, STATISTICS_ROWS, err);

    if (status)
        return status;
    if (s.lost == 1.0)
        return LCF_FAIL(err, LCF_EINVAL,
                        "source '%s': no answer fits into a row of %zu tokens, its question takes "
                        "them all; raise --cutoff, or name less with --history",
                        info.spec->text, t->o->mixture.cutoff);
    *mean_tokens = s.tokens;
    lcf_log(LCF_LOG_INFO,
            "mixture source=%s share=%.3f rows=%zu held_out=%zu without_answer=%zu "
            "tokens_per_row=%.1f answer_tokens=%.1f truncated=%.3f lost=%.3f looked_at=%zu",
            info.spec->text, info.share, info.rows_n, info.held_n, info.empty_n, s.tokens,
            s.answer_tokens, s.truncated, s.lost, s.looked_n);
    return json_array_append_new(
               t->mixture_json,
               json_pack("{s:s, s:s, s:f, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:I}", "kind",
                         lcf_source_kind_name(info.spec->kind), "group",
                         info.spec->rec ? "rec" : "general", "share", info.share, "rows",
                         (json_int_t)info.rows_n, "held_out", (json_int_t)info.held_n,
                         "without_answer", (json_int_t)info.empty_n, "tokens_per_row", s.tokens,
                         "answer_tokens_per_row", s.answer_tokens, "truncated", s.truncated, "lost",
                         s.lost, "looked_at", (json_int_t)s.looked_n))
               ? LCF_FAIL(err, LCF_ENOMEM, "statistics of the mixture")
               : LCF_OK;
}

static lcf_status log_statistics(tuning *t, lcf_err *err)
{
    const size_t rows = t->o->batch_rows * groups_of(t->o);
    size_t all, trained;
    lcf_status status = LCF_OK;
    double mean = 0.0;

    t->mixture_json = json_array();
    for (size_t i = 0; i < lcf_sources_n(t->sources) && !status; i++) {
        double tokens = 0.0;
        status = look_at(&tokens, t, i, err);
        mean += lcf_sources_info(t->sources, i).share * tokens;
    }
    if (status)
        return status;
    lcf_llama_trainer_count(&all, &trained, t->trainer);
    lcf_log(LCF_LOG_INFO,
            "model parameters=%zu trained=%zu vocab=%zu dim=%zu layers=%zu precision=%s steps=%llu "
            "rows_per_step=%zu processes=%zu tokens_planned=%.0f",
            all, trained, t->config.vocab_n, t->config.dim, t->config.layers_n,
            t->o->train.precision == LCF_PRECISION_BF16 ? "bf16" : "f32",
            (unsigned long long)t->o->steps, rows, processes_of(t->o),
            mean * (double)(t->o->steps * rows));
    return LCF_OK;
}

/* ---- training ---- */

static lcf_status measure(lcf_recgen_measures *out, tuning *t, lcf_err *err)
{
    lcf_measure_options options = t->o->measure;
    lcf_llama model;
    lcf_status status = lcf_llama_trainer_model(&model, t->trainer, t->tokenizer, err);

    if (status)
        return status;
    options.context_n = t->o->mixture.cutoff;
    status = lcf_recgen_measure(out, &model, t->tokenizer, t->mixture, t->sources, &options,
                                t->pool, err);
    lcf_llama_trainer_model_dispose(&model);
    return status;
}

static lcf_status start_afresh(tuning *t, lcf_err *err)
{
    lcf_status status = tune_is_first(t) ? measure(&t->before, t, err) : LCF_OK;

    if (status)
        return status;
    json_decref(t->before_json);
    json_decref(t->curve);
    t->before_json = lcf_recgen_measures_json(&t->before);
    t->curve = json_array();
    if (!t->before_json || !t->curve)
        return LCF_FAIL(err, LCF_ENOMEM, "tuning report");
    if (!tune_is_first(t))
        return LCF_OK;
    unlink(t->checkpoint); /* of a run with other inputs */
    return lcf_manifest_write(t->manifest, t->work, err);
}

/* Of a binary objective the tokens that decide count alone: every answer of a conversation. */
static lcf_status keep_decisions(const tuning *t, lcf_row *row, lcf_err *err)
{
    size_t answers_n; /* none: lost at the cutoff */

    return lcf_yes_no_keep(&answers_n, row->targets, row->tokens.n, &t->answers) || !answers_n
               ? LCF_OK
               : LCF_FAIL(err, LCF_EINVAL,
                          "a row answers neither Yes nor No, as --objective bce takes them; give "
                          "it sources of kind decide");
}

static lcf_status draw_row(tuning *t, lcf_row *row, lcf_err *err)
{
    lcf_status status = lcf_mixture_next(row, NULL, t->mixture, err);

    t->tokens += row->tokens.n;
    return status || !is_binary(t) ? status : keep_decisions(t, row, err);
}

/* Draws the rows of one group of the step; its gradient where the group is this process's. */
static lcf_status one_group(tuning *t, size_t group, lcf_err *err)
{
    const lcf_tune_options *o = t->o;
    const size_t rank = o->train.comm ? o->train.comm->rank : 0;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < o->batch_rows && !status; i++)
        status = draw_row(t, &t->rows[i], err);
    if (status || group / o->accumulate != rank)
        return status;
    lcf_pack_fill(&t->pack, t->rows, o->batch_rows);
    return lcf_llama_trainer_accumulate(t->trainer, t->pack.seqs, t->pack.n, group,
                                        (group + 1) % o->accumulate == 0, t->pool, err);
}

static lcf_status one_step(double *loss, tuning *t, lcf_err *err)
{
    const uint64_t truncated = lcf_mixture_truncated_n(t->mixture);
    const uint64_t lost = lcf_mixture_lost_n(t->mixture);
    lcf_status status = LCF_OK;

    for (size_t group = 0; group < groups_of(t->o) && !status; group++)
        status = one_group(t, group, err);
    if (status)
        return status;
    t->truncated += lcf_mixture_truncated_n(t->mixture) - truncated;
    t->lost += lcf_mixture_lost_n(t->mixture) - lost;
    status = lcf_llama_trainer_apply(loss, t->trainer, t->pool, err);
    if (status == LCF_EDIVERGED)
        lcf_err_prefix(err, "step %llu; the checkpoint in %s stands, try a lower --lr",
                       (unsigned long long)lcf_llama_trainer_step_n(t->trainer) + 1, t->work);
    return status;
}

/* The steps that a run with a time limit can make, from its speed so far: the learning rate is to
 * come down by its end. */
static lcf_status replan(uint64_t *planned, tuning *t, uint64_t step, uint64_t made, double start_s,
                         lcf_err *err)
{
    double used = lcf_clock_s() - start_s, left = 60.0 * t->o->minutes - used;
    double steps = (double)t->o->steps;
    lcf_status status;

    if (left <= 0.0)
        steps = (double)step;
    else if (left / used * (double)made < steps - (double)step)
        steps = floor((double)step + left / used * (double)made);
    status = tune_agree(t, &steps, err);
    *planned = (uint64_t)steps;
    lcf_llama_trainer_plan(t->trainer, *planned);
    return status;
}

/* Has any process been asked to stop? */
static lcf_status stop_asked(bool *asked, const tuning *t, lcf_err *err)
{
    lcf_comm *comm = t->o->train.comm;
    double sum = lcf_stop_requested();
    lcf_status status = comm ? comm->sum_f64(comm, &sum, 1, err) : LCF_OK;

    *asked = sum > 0.0;
    return status;
}

static lcf_status stop(tuning *t, uint64_t step, uint64_t *last, lcf_err *err)
{
    lcf_status status = tune_save_checkpoint(t, last, err);

    return status ? status
                  : LCF_FAIL(err, LCF_ECANCELED,
                             "stopped at step %llu of %llu, saved in %s; the same command goes on "
                             "from there",
                             (unsigned long long)step, (unsigned long long)t->o->steps, t->work);
}

static lcf_status train(tuning *t, lcf_err *err)
{
    const lcf_tune_options *o = t->o;
    uint64_t first = lcf_llama_trainer_step_n(t->trainer), step = first, last = first;
    uint64_t first_tokens = t->tokens, planned = o->steps;
    double start_s = lcf_clock_s(), loss = 0.0;
    bool stopping = false;
    lcf_progress progress;
    lcf_status status = LCF_OK;

    lcf_mixture_seek(t->mixture, step * o->batch_rows * groups_of(o));
    lcf_progress_start(&progress, "tune", "steps", planned);
    while (!status && step < planned) {
        status = one_step(&loss, t, err);
        if (!status)
            status = tune_record_loss(t, ++step, loss, err);
        if (status)
            break;
        if (o->minutes > 0.0 && (step - first) % REPLAN_STEPS == 0)
            status = replan(&planned, t, step, step - first, start_s, err);
        progress.total = planned;
        lcf_progress_note(&progress, "loss %.3f %.0f tokens/s", loss,
                          (double)(t->tokens - first_tokens) / (lcf_clock_s() - start_s));
        lcf_progress_update(&progress, step);
        if (!status)
            status = stop_asked(&stopping, t, err);
        if (!status && stopping && step < planned)
            status = stop(t, step, &last, err);
        else if (!status && step % o->checkpoint_every == 0)
            status = tune_save_checkpoint(t, &last, err);
    }
    lcf_progress_end(&progress);
    return status || !t->window_n ? status : tune_add_point(t, step, err);
}

/* ---- the artefact ---- */

static json_t *report_of(const tuning *t, const lcf_recgen_measures *after)
{
    const lcf_llama_config *c = &t->config;
    char version[LCF_PROMPT_VERSION_BYTES];
    size_t all, trained;
    json_t *model;

    lcf_prompt_version(version, &lcf_sources_get_options(t->sources)->prompt);
    lcf_llama_trainer_count(&all, &trained, t->trainer);
    model =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "parameters", (json_int_t)all,
                  "trained", (json_int_t)trained, "vocab", (json_int_t)c->vocab_n, "dim",
                  (json_int_t)c->dim, "layers", (json_int_t)c->layers_n, "heads",
                  (json_int_t)c->heads_n, "kv_heads", (json_int_t)c->kv_heads_n, "ffn",
                  (json_int_t)c->ffn_dim, "context", (json_int_t)c->context_n);
    return json_pack("{s:s, s:I, s:o, s:s, s:O, s:I, s:I, s:I, s:I, s:O, s:o, s:O}", "format",
                     "llmcf-tuning-report", "version", (json_int_t)4, "model", model, "prompt",
                     version, "mixture", t->mixture_json, "steps",
                     (json_int_t)lcf_llama_trainer_step_n(t->trainer), "tokens",
                     (json_int_t)t->tokens, "rows_truncated", (json_int_t)t->truncated, "rows_lost",
                     (json_int_t)t->lost, "before", t->before_json, "after",
                     lcf_recgen_measures_json(after), "loss", t->curve);
}

static lcf_status write_adapter(const tuning *t, const char *dir, lcf_err *err)
{
    char *path;
    lcf_status status;

    if (!t->o->train.lora.rank && !t->o->adapter)
        return LCF_OK;
    path = lcf_path_join(dir, "adapter.gguf");
    status = path ? lcf_adapter_save(path, t->trainer, "RecGen-LLaMA", err)
                  : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    free(path);
    return status;
}

static lcf_status write_files(tuning *t, const char *dir, const lcf_recgen_measures *after,
                              lcf_err *err)
{
    char *gguf = lcf_path_join(dir, "recgen.gguf"),
         *report_path = lcf_path_join(dir, "report.json");
    json_t *report = report_of(t, after);
    lcf_llama model;
    lcf_status status;

    if (!gguf || !report_path || !report) {
        status = LCF_FAIL(err, LCF_ENOMEM, "tuning report");
        goto done;
    }
    status = lcf_llama_trainer_model(&model, t->trainer, t->tokenizer, err);
    if (status)
        goto done;
    status = lcf_llama_save(gguf, &model, t->o->type, "RecGen-LLaMA", err);
    lcf_llama_trainer_model_dispose(&model);
    if (!status)
        status = write_adapter(t, dir, err);
    if (!status)
        status = lcf_json_save(report_path, report, err);
done:
    json_decref(report);
    free(gguf);
    free(report_path);
    return status;
}

static lcf_status write_artefact(tuning *t, const lcf_recgen_measures *after, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = lcf_stage_open(&stage, t->o->out, err);

    if (!status)
        status = write_files(t, lcf_stage_path(stage), after, err);
    status = lcf_manifest_finish(t->manifest, stage, status, err);
    return status ? status : lcf_dir_remove(t->work, err);
}

static void dispose(tuning *t)
{
    for (size_t i = 0; t->rows && i < t->o->batch_rows; i++)
        lcf_row_dispose(&t->rows[i]);
    free(t->rows);
    lcf_pack_dispose(&t->pack);
    lcf_answers_dispose(&t->answers);
    lcf_mixture_free(t->mixture);
    lcf_llama_trainer_free(t->trainer);
    lcf_adapter_close(t->adapter);
    lcf_tokenizer_free(t->own_tokenizer);
    lcf_llama_close(t->base);
    lcf_sources_free(t->sources);
    lcf_related_free(t->related);
    lcf_dataset_close(&t->d);
    lcf_pool_free(t->pool);
    json_decref(t->before_json);
    json_decref(t->curve);
    json_decref(t->mixture_json);
    lcf_manifest_free(t->manifest);
    lcf_lock_release(t->lock);
    free(t->work);
    free(t->checkpoint);
}

static lcf_status prepare(tuning *t, lcf_err *err)
{
    bool resumed = false;
    lcf_status status = open_inputs(t, err);

    if (!status)
        status = make_model(t, err);
    if (!status)
        status = make_batches(t, err);
    if (!status)
        status = log_statistics(t, err);
    if (status || t->o->dry_run)
        return status;
    status = tune_resume(t, &resumed, err);
    return status || resumed ? status : start_afresh(t, err);
}

/* The result of an artefact that is up to date, from its report. */
static lcf_status read_result(lcf_tune_result *result, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "report.json");
    json_t *report = NULL;
    lcf_status status =
        path ? lcf_json_load(&report, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    if (!status)
        status = lcf_json_u64(&result->steps, report, "steps", err);
    if (!status)
        status = lcf_json_u64(&result->tokens, report, "tokens", err);
    result->current = true;
    result->before = lcf_recgen_measures_of_json(json_object_get(report, "before"));
    result->after = lcf_recgen_measures_of_json(json_object_get(report, "after"));
    result->mixture = json_incref(json_object_get(report, "mixture"));
    json_decref(report);
    free(path);
    return status;
}

static lcf_status run(lcf_tune_result *result, tuning *t, lcf_err *err)
{
    double start_s;
    lcf_status status = prepare(t, err);

    result->mixture = json_incref(t->mixture_json);
    if (status || t->o->dry_run)
        return status;
    start_s = lcf_clock_s();
    status = train(t, err);
    result->seconds = lcf_clock_s() - start_s;
    if (!status && tune_is_first(t))
        status = measure(&result->after, t, err);
    if (!status && tune_is_first(t))
        status = write_artefact(t, &result->after, err);
    result->steps = lcf_llama_trainer_step_n(t->trainer);
    result->tokens = t->tokens;
    result->before = lcf_recgen_measures_of_json(t->before_json);
    return status;
}

/* Whether the artefact that is there will do: made from just this, or reused. */
static bool is_made(bool *reused, const tuning *t)
{
    static const char *const data[] = {"dataset", NULL};

    if (t->o->force)
        return false;
    if (lcf_manifest_is_current(t->manifest, t->o->out))
        return true;
    *reused = t->o->reuse && lcf_manifest_is_like(t->manifest, t->o->out, data);
    return *reused;
}

lcf_status lcf_tune(lcf_tune_result *result, const lcf_tune_options *options, lcf_err *err)
{
    tuning t = {.o = options};
    lcf_status status;

    memset(result, 0, sizeof(*result));
    if (!options->steps || !options->batch_rows || !options->accumulate ||
        !options->checkpoint_every)
        return LCF_FAIL(err, LCF_EUSAGE,
                        "steps, batch, accumulation and checkpoint interval must be positive");
    if ((options->train.lora.rank || options->adapter) && !options->base)
        return LCF_FAIL(err, LCF_EUSAGE, "an adapter needs the --model that it adapts");
    status = describe(&t, err);
    if (!status && !options->dry_run && is_made(&result->reused, &t)) {
        status = read_result(result, options->out, err);
    } else {
        if (!status && !options->dry_run)
            status = tune_open_work(&t, err);
        if (!status)
            status = run(result, &t, err);
    }
    if (status)
        lcf_tune_result_dispose(result);
    dispose(&t);
    return status;
}
