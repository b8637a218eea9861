/* Logged-bandit files in memory: see log.h. Invariant: every array of rows has rows_n elements and
 * every index in them is in range, after each call that returns OK. */
#include "offline/eval/ope/log.h"

#include "common/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lcf_status lcf_ope_log_init(lcf_ope_log *log, const char *path, const lcf_ope_log_options *options,
                            lcf_err *err)
{
    memset(log, 0, sizeof(*log));
    log->path = lcf_strdup(path);
    log->options = *options;
    if (!log->path || lcf_intern_init(&log->actions) || lcf_intern_init(&log->users) ||
        lcf_intern_init(&log->requests) || lcf_intern_init(&log->features)) {
        lcf_ope_log_dispose(log);
        return LCF_FAIL(err, LCF_ENOMEM, "names of %s", path);
    }
    return LCF_OK;
}

void lcf_ope_log_dispose(lcf_ope_log *log)
{
    void *arrays[] = {log->path,
                      log->user,
                      log->request,
                      log->action,
                      log->position,
                      log->target_position,
                      log->set,
                      log->reward,
                      log->propensity,
                      log->target,
                      log->score,
                      log->line,
                      log->set_first,
                      log->candidate,
                      log->candidate_target,
                      log->candidate_score,
                      log->candidate_propensity,
                      log->feature_first,
                      log->feature,
                      log->feature_value,
                      log->feature_numeric,
                      log->last_set};

    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
    lcf_intern_dispose(&log->actions);
    lcf_intern_dispose(&log->users);
    lcf_intern_dispose(&log->requests);
    lcf_intern_dispose(&log->features);
    memset(log, 0, sizeof(*log));
}

lcf_str lcf_ope_action_name(const lcf_ope_log *log, uint32_t action)
{
    const lcf_intern *t = &log->actions;

    return (lcf_str){t->chars + t->offsets[action + 1],
                     (size_t)(t->offsets[action + 2] - t->offsets[action + 1])};
}

static lcf_status no_memory(const lcf_ope_log *log, lcf_err *err)
{
    return LCF_FAIL(err, LCF_ENOMEM, "%s: %zu rows", log->path, log->rows_n);
}

/* Grows several arrays that share one capacity; the capacity moves only when all of them could. */
static lcf_status grow(void **arrays[], const size_t *sizes, size_t n, size_t *capacity,
                       size_t wanted)
{
    size_t reached = *capacity;

    for (size_t i = 0; i < n; i++) {
        size_t own = *capacity;
        lcf_status status = lcf_grow(arrays[i], &own, wanted, sizes[i]);
        if (status)
            return status;
        reached = i && reached < own ? reached : own;
    }
    *capacity = reached;
    return LCF_OK;
}

#define FIELD(log, name) (void **)&(log)->name
#define FIELD_BYTES(log, name) sizeof(*(log)->name)

static lcf_status grow_rows(lcf_ope_log *log)
{
    void **arrays[] = {FIELD(log, user),     FIELD(log, request),    FIELD(log, action),
                       FIELD(log, position), FIELD(log, set),        FIELD(log, target_position),
                       FIELD(log, reward),   FIELD(log, propensity), FIELD(log, target),
                       FIELD(log, score),    FIELD(log, line),       FIELD(log, feature_first)};
    const size_t sizes[] = {
        FIELD_BYTES(log, user),     FIELD_BYTES(log, request),    FIELD_BYTES(log, action),
        FIELD_BYTES(log, position), FIELD_BYTES(log, set),        FIELD_BYTES(log, target_position),
        FIELD_BYTES(log, reward),   FIELD_BYTES(log, propensity), FIELD_BYTES(log, target),
        FIELD_BYTES(log, score),    FIELD_BYTES(log, line),       FIELD_BYTES(log, feature_first)};

    return grow(arrays, sizes, sizeof(sizes) / sizeof(sizes[0]), &log->rows_capacity,
                log->rows_n + 2); /* one more than the rows, for feature_first */
}

static lcf_status grow_candidates(lcf_ope_log *log, size_t n)
{
    void **arrays[] = {FIELD(log, candidate), FIELD(log, candidate_target),
                       FIELD(log, candidate_score), FIELD(log, candidate_propensity)};
    const size_t sizes[] = {FIELD_BYTES(log, candidate), FIELD_BYTES(log, candidate_target),
                            FIELD_BYTES(log, candidate_score),
                            FIELD_BYTES(log, candidate_propensity)};
    lcf_status status = lcf_grow(FIELD(log, set_first), &log->sets_capacity, log->sets_n + 2,
                                 FIELD_BYTES(log, set_first));

    return status ? status
                  : grow(arrays, sizes, 4, &log->candidates_capacity, log->candidates_n + n);
}

static lcf_status grow_features(lcf_ope_log *log, size_t n)
{
    void **arrays[] = {FIELD(log, feature), FIELD(log, feature_value)};
    const size_t sizes[] = {FIELD_BYTES(log, feature), FIELD_BYTES(log, feature_value)};

    return grow(arrays, sizes, 2, &log->features_capacity, log->features_used_n + n);
}

lcf_status lcf_ope_log_bad_row(lcf_ope_log *log, uint64_t line, const char *reason, lcf_err *err)
{
    if (!log->options.allow_bad_rows)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s:%" PRIu64 ": %s (--allow-bad-rows drops and counts such rows)",
                        log->path, line, reason);
    if (!log->bad_rows_n++) {
        snprintf(log->bad_row, sizeof(log->bad_row), "line %" PRIu64 ": %s", line, reason);
        lcf_utf8_mend(log->bad_row); /* of the report, which is JSON */
    }
    return LCF_OK;
}

lcf_status lcf_ope_log_next_row(bool *more, lcf_ope_log *log, lcf_rows *rows, size_t columns_n,
                                lcf_err *err)
{
    lcf_status status = LCF_OK;
    lcf_row_result result;
    char reason[64];

    *more = false;
    while (!status && (result = lcf_rows_next(rows)) != LCF_ROW_END) {
        *more = result == LCF_ROW_OK && rows->fields_n == columns_n;
        if (*more)
            return LCF_OK;
        snprintf(reason, sizeof(reason), "%zu fields, the header has %zu", rows->fields_n,
                 columns_n);
        status = lcf_ope_log_bad_row(log, rows->line, result == LCF_ROW_BAD ? rows->reason : reason,
                                     err);
    }
    return status;
}

/* ---- candidate sets ---- */

/* NULL, or what is wrong with one candidate. */
static const char *candidate_fault(const lcf_ope_candidate *c)
{
    if (!c->action.len)
        return "a candidate without a name";
    if (!(c->target >= 0 && c->target <= 1) && !isnan(c->target))
        return "a target probability that is not in [0, 1]";
    if (!(c->propensity >= 0 && c->propensity <= 1) && !isnan(c->propensity))
        return "a propensity that is not in [0, 1]";
    if (!isfinite(c->score))
        return "a score that is not a finite number";
    return NULL;
}

/* Actions differ within a set: `last_set` remembers for every action the set it was last seen in,
 * by its place among all that were given, so that one that was refused is not taken for the next.
 */
static bool is_twice(lcf_ope_log *log, uint32_t action)
{
    bool twice = log->last_set[action] == log->sets_given;

    log->last_set[action] = log->sets_given;
    return twice;
}

static lcf_status grow_last_set(lcf_ope_log *log)
{
    size_t before = log->last_set_capacity;
    lcf_status status = lcf_grow(FIELD(log, last_set), &log->last_set_capacity, log->actions.n,
                                 FIELD_BYTES(log, last_set));

    if (!status)
        memset(log->last_set + before, 0,
               (log->last_set_capacity - before) * sizeof(*log->last_set));
    return status;
}

/* Puts the candidates behind the sets that are there; *fault says what is wrong with them. */
static lcf_status fill_set(const char **fault, lcf_ope_log *log,
                           const lcf_ope_candidate *candidates, size_t n)
{
    size_t known_n = 0;
    double sum = 0;

    *fault = n ? NULL : "no candidates";
    for (size_t i = 0; i < n && !*fault; i++) {
        const lcf_ope_candidate *c = &candidates[i];
        size_t at = log->candidates_n + i;
        *fault = candidate_fault(c);
        if (*fault)
            return LCF_OK;
        if (lcf_intern_add(&log->candidate[at], &log->actions, c->action.data, c->action.len) ||
            grow_last_set(log))
            return LCF_ENOMEM;
        if (is_twice(log, --log->candidate[at]))
            *fault = "an action is listed twice among the candidates";
        log->candidate_target[at] = c->target;
        log->candidate_propensity[at] = c->propensity;
        log->candidate_score[at] = c->score;
        known_n += !isnan(c->target);
        sum += isnan(c->target) ? 0 : c->target;
    }
    if (!*fault && known_n && known_n < n)
        *fault = "some candidates have no target probability";
    else if (!*fault && known_n && fabs(sum - 1) > LCF_OPE_SUM_TOLERANCE)
        *fault = "the target probabilities of the candidates do not sum to 1";
    return LCF_OK;
}

lcf_status lcf_ope_log_add_set(uint32_t *set, lcf_ope_log *log, const lcf_ope_candidate *candidates,
                               size_t n, uint64_t line, lcf_err *err)
{
    const char *fault;

    *set = LCF_OPE_BAD_SET;
    log->sets_given++;
    if (log->sets_n >= LCF_OPE_BAD_SET - 1)
        return LCF_FAIL(err, LCF_ELIMIT, "%s: too many candidate sets", log->path);
    if (grow_candidates(log, n) || fill_set(&fault, log, candidates, n))
        return no_memory(log, err);
    if (fault)
        return lcf_ope_log_bad_row(log, line, fault, err);
    log->set_first[0] = 0;
    log->candidates_n += n;
    *set = (uint32_t)log->sets_n++;
    log->set_first[log->sets_n] = log->candidates_n;
    return LCF_OK;
}

/* ---- rows ---- */

static const char *row_fault(const lcf_ope_row *row)
{
    if (!row->action.len)
        return "no action";
    if (!isfinite(row->reward))
        return "the reward is missing or not a finite number";
    if (isnan(row->propensity))
        return "the propensity is missing or not a number";
    if (row->propensity < 0)
        return "the propensity is negative";
    if (row->propensity > 1)
        return "the propensity is above 1";
    if (!(row->target >= 0 && row->target <= 1) && !isnan(row->target))
        return "the target probability is not in [0, 1]";
    if (row->position < 1 || row->position > LCF_OPE_POSITIONS_MAX)
        return "the position is not in 1 to 1000";
    if (row->target_position > LCF_OPE_POSITIONS_MAX && row->target_position != LCF_OPE_NO_POSITION)
        return "the target position is not in 0 to 1000";
    for (size_t i = 0; i < row->features_n; i++)
        if (!row->features[i].name.len || !isfinite(row->features[i].value))
            return "a context feature has no name, or a value that is not finite";
    return NULL;
}

/* The index of a name from 0; UINT32_MAX for none. */
static lcf_status intern(uint32_t *idx, lcf_intern *names, lcf_str name)
{
    uint32_t at = 0;
    lcf_status status = lcf_intern_add(&at, names, name.data, name.len);

    *idx = at - 1;
    return status;
}

static lcf_status put_features(lcf_ope_log *log, const lcf_ope_row *row)
{
    lcf_status status = grow_features(log, row->features_n);

    for (size_t i = 0; i < row->features_n && !status; i++) {
        const lcf_ope_feature *f = &row->features[i];
        size_t at = log->features_used_n + i, before = log->features.n;
        status = intern(&log->feature[at], &log->features, f->name);
        if (!status)
            status =
                lcf_grow(FIELD(log, feature_numeric), &log->numeric_capacity, log->features.n, 1);
        if (status)
            break;
        if (log->features.n > before)
            log->feature_numeric[log->feature[at]] = f->numeric;
        log->feature_value[at] = f->value;
    }
    return status;
}

static lcf_status put_row(lcf_ope_log *log, const lcf_ope_row *row, double target)
{
    size_t i = log->rows_n;
    lcf_status status = grow_rows(log);

    if (!status)
        status = intern(&log->action[i], &log->actions, row->action);
    if (!status)
        status = intern(&log->user[i], &log->users, row->user);
    if (!status)
        status = intern(&log->request[i], &log->requests, row->request);
    if (!status)
        status = put_features(log, row);
    if (status)
        return status;
    log->position[i] = (uint32_t)row->position - 1;
    log->target_position[i] = row->target_position == LCF_OPE_NO_POSITION
                                  ? UINT32_MAX
                                  : (uint32_t)row->target_position - 1; /* nowhere: UINT32_MAX */
    log->target_positions_n += row->target_position != LCF_OPE_NO_POSITION;
    log->set[i] = row->set;
    log->reward[i] = row->reward;
    log->propensity[i] = row->propensity;
    log->target[i] = target;
    log->score[i] = row->score;
    log->has_scores |= row->score != 0;
    log->line[i] = row->line;
    log->feature_first[i] = log->features_used_n;
    log->features_used_n += row->features_n;
    log->feature_first[i + 1] = log->features_used_n;
    log->rows_n++;
    return LCF_OK;
}

/* The target probability of an action in a set; -1 when the set does not hold it. */
static double target_in_set(const lcf_ope_log *log, uint32_t set, uint32_t action)
{
    for (uint64_t c = log->set_first[set]; c < log->set_first[set + 1]; c++)
        if (log->candidate[c] == action)
            return log->candidate_target[c];
    return -1;
}

/* Row and set must tell one story; *target is that of the set, where there is one. */
static const char *set_fault(double *target, const lcf_ope_log *log, const lcf_ope_row *row)
{
    double in_set;

    *target = row->target;
    if (row->set == LCF_OPE_NO_SET)
        return NULL;
    in_set = target_in_set(log, row->set,
                           lcf_intern_find(&log->actions, row->action.data, row->action.len) - 1);
    if (in_set < 0)
        return "the action that was shown is none of its candidates";
    if (!isnan(*target) && fabs(*target - in_set) > LCF_OPE_SUM_TOLERANCE)
        return "the target probability of the action is another one among its candidates";
    *target = in_set;
    return NULL;
}

lcf_status lcf_ope_log_add(lcf_ope_log *log, const lcf_ope_row *row, lcf_err *err)
{
    const char *fault;
    double target;

    if (row->set == LCF_OPE_BAD_SET)
        return LCF_OK;
    fault = row_fault(row);
    if (!fault)
        fault = set_fault(&target, log, row);
    if (fault)
        return lcf_ope_log_bad_row(log, row->line, fault, err);
    if (row->propensity == 0) {
        if (!log->options.allow_zero_propensity)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s:%" PRIu64 ": the propensity is 0, but the action was shown "
                            "(--allow-zero-propensity drops and counts such rows)",
                            log->path, row->line);
        log->zero_propensity_n++;
        return LCF_OK;
    }
    if (log->rows_n >= UINT32_MAX - 2)
        return LCF_FAIL(err, LCF_ELIMIT, "%s: more than 2^32 - 3 rows", log->path);
    return put_row(log, row, target) ? no_memory(log, err) : LCF_OK;
}

/* ---- finish ---- */

/* The target's mass on candidates that the logging policy cannot show; *worst is one of them. */
static double unsupported(uint64_t *worst, const lcf_ope_log *log, uint32_t set)
{
    double mass = 0;

    for (uint64_t c = log->set_first[set]; c < log->set_first[set + 1]; c++)
        if (log->candidate_propensity[c] == 0 && log->candidate_target[c] > 0) {
            mass += log->candidate_target[c];
            *worst = c;
        }
    return mass;
}

lcf_status lcf_ope_log_check_support(lcf_ope_log *log, lcf_err *err)
{
    uint64_t worst = 0;

    log->unsupported_rows_n = 0;
    log->unsupported_mass = 0;
    for (size_t i = 0; i < log->rows_n && log->has_sets; i++) {
        double mass = unsupported(&worst, log, log->set[i]);
        lcf_str name = lcf_ope_action_name(log, log->candidate[worst]);
        if (mass > 0 && !log->options.allow_zero_propensity)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s:%" PRIu64
                            ": the target puts %g on action '%.*s', which the logging policy never "
                            "shows (propensity 0): no estimator can know its value "
                            "(--allow-zero-propensity accepts the bias and counts such rows)",
                            log->path, log->line[i], log->candidate_target[worst],
                            (int)(name.len < 64 ? name.len : 64), name.data);
        log->unsupported_rows_n += mass > 0;
        log->unsupported_mass += mass;
    }
    return LCF_OK;
}

/* A column is in all rows or in none. */
static lcf_status all_or_none(bool *all, const lcf_ope_log *log, size_t with_n,
                              size_t first_without, const char *what, lcf_err *err)
{
    *all = with_n == log->rows_n;
    if (!with_n || *all)
        return LCF_OK;
    return LCF_FAIL(err, LCF_EFORMAT, "%s:%" PRIu64 ": no %s, but other rows have one", log->path,
                    log->line[first_without], what);
}

static lcf_status check_ids(bool *all, const lcf_ope_log *log, const uint32_t *ids,
                            const char *what, lcf_err *err)
{
    size_t with_n = 0, without = 0;

    for (size_t i = 0; i < log->rows_n; i++) {
        with_n += ids[i] != UINT32_MAX;
        without = ids[i] == UINT32_MAX ? i : without;
    }
    return all_or_none(all, log, with_n, without, what, err);
}

static lcf_status check_targets(lcf_ope_log *log, lcf_err *err)
{
    size_t with_n = 0, without = 0;

    for (size_t i = 0; i < log->rows_n; i++) {
        with_n += !isnan(log->target[i]);
        without = isnan(log->target[i]) ? i : without;
    }
    return all_or_none(&log->has_targets, log, with_n, without, "target probability", err);
}

/* Without ids of their own, rows are users or requests by themselves. */
static size_t number_ids(uint32_t *ids, const lcf_ope_log *log, const lcf_intern *names, bool named)
{
    for (size_t i = 0; i < log->rows_n && !named; i++)
        ids[i] = (uint32_t)i;
    return named ? names->n - 1 : log->rows_n;
}

static void count_dimensions(lcf_ope_log *log)
{
    log->actions_n = log->actions.n - 1;
    log->features_n = log->features.n - 1;
    log->requests_n = number_ids(log->request, log, &log->requests, log->has_requests);
    log->users_n = log->has_users ? log->users.n - 1 : log->requests_n;
    if (!log->has_users)
        memcpy(log->user, log->request, log->rows_n * sizeof(*log->user));
    for (size_t i = 0; i < log->rows_n; i++)
        if (log->position[i] >= log->positions_n)
            log->positions_n = (size_t)log->position[i] + 1;
}

lcf_status lcf_ope_log_finish(lcf_ope_log *log, lcf_err *err)
{
    lcf_status status;

    if (!log->rows_n)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: no row to evaluate on (%zu were dropped)", log->path,
                        log->bad_rows_n + log->zero_propensity_n);
    status = check_ids(&log->has_users, log, log->user, "user", err);
    if (!status)
        status = check_ids(&log->has_requests, log, log->request, "request", err);
    if (!status)
        status = check_ids(&log->has_sets, log, log->set, "candidates", err);
    if (!status)
        status = check_targets(log, err);
    if (status)
        return status;
    log->has_target_positions = log->target_positions_n == log->rows_n;
    count_dimensions(log);
    return LCF_OK;
}
