/*
 * What a night changed. Rows are told apart by their content (lcf_dataset_sample_hash), users,
 * items, brands and categories by their names, so that neither the order of a log nor its indices
 * matter.
 */
#include "offline/night/night.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/dataset.h"
#include "common/data/predictions.h"
#include "offline/eval/drift.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 20, ACTIVITY_BINS = 16, POPULARITY_BINS = 11, HOURS = 24, ARMS_MAX = 16 };
#define ARM_PREFIX "ranker-"

typedef struct changes {
    const lcf_night_changes *o;
    lcf_dataset before, after;
    lcf_hash128 *known;     /* [before.samples_n] ascending */
    uint8_t *is_new;        /* [after.samples_n] */
    size_t *user_n;         /* [before.users_n] samples of a user */
    uint8_t *item_bin;      /* [before.items_n] decile of popularity */
    uint32_t *user_was;     /* [after.users_n] index in `before`, 0: none */
    uint32_t *item_was;     /* [after.items_n] */
    uint32_t *brand_was;    /* [after.brands_n] */
    uint32_t *category_was; /* [after.categories_n] */
    uint8_t *brand_bin;     /* [before.brands_n]; 0: not among the most frequent */
    uint8_t *category_bin;  /* [before.categories_n] */
    char *arms[ARMS_MAX];   /* folders that both sides have, ascending */
    size_t arms_n;
    size_t rows_new, rows_gone;
} changes;

/* ---- rows and names ---- */

static int compare_hashes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(lcf_hash128));
}

/* Marks the rows of `after` that are not in `before`. Rows of equal content count one by one as far
 * as they are known. */
static lcf_status tell_rows_apart(changes *c, lcf_err *err)
{
    const size_t n = c->before.samples_n;
    size_t kept = 0;

    c->known = lcf_alloc(n + 1, sizeof(*c->known));
    c->is_new = lcf_alloc_zero(c->after.samples_n + 1, 1);
    if (!c->known || !c->is_new)
        return LCF_FAIL(err, LCF_ENOMEM, "hashes of %zu rows", n);
    for (size_t i = 0; i < n; i++)
        c->known[i] = lcf_dataset_sample_hash(&c->before, i);
    qsort(c->known, n, sizeof(*c->known), compare_hashes);
    for (size_t i = 0; i < c->after.samples_n; i++) {
        const lcf_hash128 hash = lcf_dataset_sample_hash(&c->after, i);

        c->is_new[i] = !bsearch(&hash, c->known, n, sizeof(hash), compare_hashes);
        c->rows_new += c->is_new[i];
        kept += !c->is_new[i];
    }
    c->rows_gone = kept < n ? n - kept : 0;
    return LCF_OK;
}

/* For each name of `after` its index in `before`; *known_n receives how many have one. */
static lcf_status match(uint32_t **out, size_t *known_n, const lcf_strings *after,
                        const lcf_strings *before, lcf_err *err)
{
    *out = lcf_alloc_zero(after->n + 1, sizeof(**out));
    *known_n = 0;
    if (!*out)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu names", after->n);
    for (size_t i = 1; i < after->n; i++) {
        const lcf_str name = lcf_strings_get(after, i);

        (*out)[i] = lcf_strings_find(before, name.data, name.len);
        *known_n += (*out)[i] != 0;
    }
    return LCF_OK;
}

/* ---- features ---- */

typedef struct counted {
    size_t n;
    uint32_t idx;
} counted;

static int most_first(const void *a, const void *b)
{
    const counted *x = a, *y = b;

    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return (x->idx > y->idx) - (x->idx < y->idx);
}

/* The most frequent names get a bin of their own, 1 and on. */
static lcf_status name_bins(uint8_t **out, counted *counts, size_t n, lcf_err *err)
{
    *out = lcf_alloc_zero(n + 1, 1);
    if (!*out)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu names", n);
    qsort(counts, n, sizeof(*counts), most_first);
    for (size_t i = 0; i < n && i < NAMES_MAX && counts[i].n; i++)
        (*out)[counts[i].idx] = (uint8_t)(i + 1);
    return LCF_OK;
}

static counted *make_counts(size_t n)
{
    counted *counts = lcf_alloc_zero(n + 1, sizeof(*counts));

    for (size_t i = 0; counts && i < n; i++)
        counts[i].idx = (uint32_t)i;
    return counts;
}

/* Deciles of the earlier rows by how popular their item was. */
static lcf_status popularity_bins(changes *c, lcf_err *err)
{
    const size_t n = c->before.catalogue.items_n;
    counted *counts = make_counts(n);
    size_t seen = 0;

    c->item_bin = lcf_alloc_zero(n + 1, 1);
    if (!counts || !c->item_bin) {
        free(counts);
        return LCF_FAIL(err, LCF_ENOMEM, "counts of %zu items", n);
    }
    for (size_t i = 0; i < c->before.samples_n; i++)
        counts[c->before.sample_item[i]].n++;
    qsort(counts, n, sizeof(*counts), most_first);
    for (size_t i = 0; i < n; i++) {
        c->item_bin[counts[i].idx] = (uint8_t)(seen * 10 / (c->before.samples_n + 1));
        seen += counts[i].n;
    }
    free(counts);
    return LCF_OK;
}

static lcf_status count_names(changes *c, lcf_err *err)
{
    const lcf_catalogue *k = &c->before.catalogue;
    counted *brands = make_counts(k->brands_n), *categories = make_counts(k->categories_n);
    lcf_status status = LCF_OK;

    if (!brands || !categories)
        status = LCF_FAIL(err, LCF_ENOMEM, "counts of brands and categories");
    for (size_t i = 0; !status && i < c->before.samples_n; i++) {
        const uint32_t item = c->before.sample_item[i];

        brands[k->item_brand[item]].n++;
        for (uint64_t j = k->category_offsets[item]; j < k->category_offsets[item + 1]; j++)
            categories[k->item_categories[j]].n++;
    }
    if (!status)
        status = name_bins(&c->brand_bin, brands, k->brands_n, err);
    if (!status)
        status = name_bins(&c->category_bin, categories, k->categories_n, err);
    free(brands);
    free(categories);
    return status;
}

static lcf_status count_users(changes *c, lcf_err *err)
{
    c->user_n = lcf_alloc_zero(c->before.users_n + 1, sizeof(*c->user_n));
    if (!c->user_n)
        return LCF_FAIL(err, LCF_ENOMEM, "counts of %u users", c->before.users_n);
    for (size_t i = 0; i < c->before.samples_n; i++)
        c->user_n[c->before.sample_user[i]]++;
    return LCF_OK;
}

/* Adds a row to a feature's bins; indices are those of `before`, 0 for what it did not know. */
typedef struct seen_row {
    uint8_t label;
    uint32_t history_n, user, item;
    int64_t time;
    const lcf_dataset *d; /* where the row is from */
    uint32_t own_item;
} seen_row;

static void bin_label(size_t *bins, const changes *c, const seen_row *r)
{
    (void)c;
    bins[r->label != 0]++;
}

static void bin_history(size_t *bins, const changes *c, const seen_row *r)
{
    (void)c;
    bins[r->history_n]++;
}

static void bin_hour(size_t *bins, const changes *c, const seen_row *r)
{
    const int64_t second = r->time % 86400;

    (void)c;
    bins[(second < 0 ? second + 86400 : second) / 3600]++;
}

/* By powers of two; the first: users who were not there. */
static void bin_user(size_t *bins, const changes *c, const seen_row *r)
{
    size_t bin = 0;

    for (size_t n = r->user ? c->user_n[r->user] : 0; n && bin < ACTIVITY_BINS - 1; n /= 2)
        bin++;
    bins[bin]++;
}

static void bin_item(size_t *bins, const changes *c, const seen_row *r)
{
    bins[r->item ? c->item_bin[r->item] : POPULARITY_BINS - 1]++;
}

static void bin_brand(size_t *bins, const changes *c, const seen_row *r)
{
    const uint32_t brand = r->d->catalogue.item_brand[r->own_item];

    bins[c->brand_bin[r->d == &c->before ? brand : c->brand_was[brand]]]++;
}

static void bin_category(size_t *bins, const changes *c, const seen_row *r)
{
    const lcf_catalogue *k = &r->d->catalogue;

    for (uint64_t i = k->category_offsets[r->own_item]; i < k->category_offsets[r->own_item + 1];
         i++) {
        const uint32_t category = k->item_categories[i];

        bins[c->category_bin[r->d == &c->before ? category : c->category_was[category]]]++;
    }
}

enum { BINS_MAX = 32 };
static const struct {
    const char *name;
    size_t bins_n;
    void (*add)(size_t *bins, const changes *c, const seen_row *r);
} FEATURES[] = {
    {"label", 2, bin_label},
    {"history_length", LCF_HISTORY_MAX + 1, bin_history},
    {"hour", HOURS, bin_hour},
    {"user_activity", ACTIVITY_BINS, bin_user},
    {"item_popularity", POPULARITY_BINS, bin_item},
    {"brand", NAMES_MAX + 1, bin_brand},
    {"category", NAMES_MAX + 1, bin_category},
};
enum { FEATURES_N = sizeof(FEATURES) / sizeof(FEATURES[0]) };
_Static_assert(LCF_HISTORY_MAX + 1 <= BINS_MAX, "a bin for every length of a history");

static seen_row row_of(const changes *c, const lcf_dataset *d, size_t i)
{
    const lcf_sample s = lcf_dataset_sample(d, i);
    const bool old = d == &c->before;

    return (seen_row){s.label,
                      s.history_n,
                      old ? s.user : c->user_was[s.user],
                      old ? s.item : c->item_was[s.item],
                      s.time,
                      d,
                      s.item};
}

/*
 * What the index would be about if nothing had changed: few new rows fill many bins by chance.
 *
 * source   Yurdakul and Naranjo 2020 (Statistical properties of the population stability index)
 */
static double psi_by_chance(const size_t *before, const size_t *after, size_t n)
{
    size_t bins = 0, all_before = 0, all_after = 0;

    for (size_t i = 0; i < n; i++) {
        bins += before[i] != 0;
        all_before += before[i];
        all_after += after[i];
    }
    return bins ? (double)(bins - 1) * (1.0 / (double)all_before + 1.0 / (double)all_after)
                : (double)NAN;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *feature_json(const changes *c, size_t feature)
{
    size_t before[BINS_MAX] = {0}, after[BINS_MAX] = {0};
    const size_t n = FEATURES[feature].bins_n;

    for (size_t i = 0; i < c->before.samples_n; i++) {
        const seen_row r = row_of(c, &c->before, i);
        FEATURES[feature].add(before, c, &r);
    }
    for (size_t i = 0; i < c->after.samples_n; i++)
        if (c->is_new[i]) {
            const seen_row r = row_of(c, &c->after, i);
            FEATURES[feature].add(after, c, &r);
        }
    return json_pack("{s:s, s:o, s:o}", "feature", FEATURES[feature].name, "psi",
                     number(lcf_psi_counts(before, after, n)), "by_chance",
                     number(psi_by_chance(before, after, n)));
}

/* ---- scores ---- */

static lcf_status sample_scores(lcf_score_sample *out, const char *dir, const char *arm,
                                lcf_err *err)
{
    lcf_buf path = LCF_BUF_INIT;
    lcf_predictions p;
    lcf_status status;

    *out = (lcf_score_sample){.n = 0};
    lcf_buf_printf(&path, "%s/%s/test.lcf", dir, arm);
    if (path.status)
        return LCF_FAIL(err, path.status, "path of %s", arm);
    status = lcf_predictions_open(&p, path.data, err);
    if (!status) {
        status = lcf_score_sample_init(out, p.scores, p.seeds_n * p.rows_n, err);
        lcf_predictions_close(&p);
    }
    lcf_buf_dispose(&path);
    return status;
}

static bool is_arm(const char *dir, const char *name)
{
    lcf_buf path = LCF_BUF_INIT;
    bool found;

    lcf_buf_printf(&path, "%s/%s/test.lcf", dir, name);
    found = !path.status && lcf_path_exists(path.data);
    lcf_buf_dispose(&path);
    return found;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static lcf_status find_arms(changes *c, lcf_err *err)
{
    DIR *d = opendir(c->o->after_dir);
    struct dirent *e;
    lcf_status status = LCF_OK;

    if (!d)
        return LCF_FAIL_ERRNO(err, "cannot open folder %s", c->o->after_dir);
    while (!status && c->arms_n < ARMS_MAX && (e = readdir(d))) {
        if (strncmp(e->d_name, ARM_PREFIX, strlen(ARM_PREFIX)) ||
            !is_arm(c->o->after_dir, e->d_name) || !is_arm(c->o->before_dir, e->d_name))
            continue;
        c->arms[c->arms_n] = lcf_strdup(e->d_name);
        if (!c->arms[c->arms_n])
            status = LCF_FAIL(err, LCF_ENOMEM, "names of the arms");
        else
            c->arms_n++;
    }
    closedir(d);
    qsort(c->arms, c->arms_n, sizeof(c->arms[0]), compare_names);
    return status;
}

static lcf_status compare_scores(json_t **out, const changes *c, const char *arm, lcf_err *err)
{
    lcf_score_sample before = {.n = 0}, after = {.n = 0};
    lcf_status status = sample_scores(&before, c->o->before_dir, arm, err);

    *out = NULL;
    if (!status)
        status = sample_scores(&after, c->o->after_dir, arm, err);
    if (!status) {
        *out = json_pack("{s:s, s:o, s:o, s:o}", "arm", arm + strlen(ARM_PREFIX), "psi",
                         number(lcf_psi(&before, &after)), "before", lcf_score_sample_json(&before),
                         "after", lcf_score_sample_json(&after));
        if (!*out)
            status = LCF_FAIL(err, LCF_ENOMEM, "scores of %s", arm);
    }
    lcf_score_sample_dispose(&before);
    lcf_score_sample_dispose(&after);
    return status;
}

/* ---- the report ---- */

static json_t *counts_json(size_t before, size_t after, size_t new_n, size_t gone_n)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "before", (json_int_t)before, "after",
                     (json_int_t)after, "new", (json_int_t)new_n, "gone", (json_int_t)gone_n);
}

static json_t *names_json(const lcf_strings *before, const lcf_strings *after, size_t known_n)
{
    const size_t was = before->n - 1, is = after->n - 1;

    return counts_json(was, is, is - known_n, was - known_n);
}

static lcf_status compare_datasets(json_t *out, changes *c, lcf_err *err)
{
    const lcf_catalogue *k = &c->after.catalogue, *l = &c->before.catalogue;
    size_t users, items, brands, categories;
    lcf_status status = tell_rows_apart(c, err);

    if (!status)
        status = match(&c->user_was, &users, &c->after.user_id, &c->before.user_id, err);
    if (!status)
        status = match(&c->item_was, &items, &k->item_id, &l->item_id, err);
    if (!status)
        status = match(&c->brand_was, &brands, &k->brand, &l->brand, err);
    if (!status)
        status = match(&c->category_was, &categories, &k->category, &l->category, err);
    if (status)
        return status;
    json_object_set_new(
        out, "rows",
        counts_json(c->before.samples_n, c->after.samples_n, c->rows_new, c->rows_gone));
    json_object_set_new(out, "users", names_json(&c->before.user_id, &c->after.user_id, users));
    json_object_set_new(out, "items", names_json(&l->item_id, &k->item_id, items));
    json_object_set_new(out, "brands", names_json(&l->brand, &k->brand, brands));
    json_object_set_new(out, "categories", names_json(&l->category, &k->category, categories));
    return LCF_OK;
}

static lcf_status compare_features(json_t *out, changes *c, lcf_err *err)
{
    json_t *features = json_array();
    lcf_status status = popularity_bins(c, err);

    if (!status)
        status = count_names(c, err);
    if (!status)
        status = count_users(c, err);
    for (size_t i = 0; !status && i < FEATURES_N; i++)
        if (json_array_append_new(features, feature_json(c, i)))
            status = LCF_FAIL(err, LCF_ENOMEM, "features");
    json_object_set_new(out, "features", features);
    return status;
}

static lcf_status make(json_t **out, changes *c, lcf_err *err)
{
    json_t *json = json_pack("{s:s, s:i}", "format", "llmcf-night-changes", "version", 1);
    json_t *scores = json_array();
    lcf_status status =
        json && scores ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "what the night changed");

    if (!status)
        status = compare_datasets(json, c, err);
    if (!status)
        status = compare_features(json, c, err);
    for (size_t i = 0; !status && i < c->arms_n; i++) {
        json_t *arm;
        status = compare_scores(&arm, c, c->arms[i], err);
        if (!status && json_array_append_new(scores, arm))
            status = LCF_FAIL(err, LCF_ENOMEM, "scores of the arms");
    }
    if (!status && json_object_set(json, "scores", scores))
        status = LCF_FAIL(err, LCF_ENOMEM, "what the night changed");
    json_decref(scores);
    if (status)
        json_decref(json);
    else
        *out = json;
    return status;
}

static void write_counts(lcf_buf *out, const json_t *json, const char *name)
{
    const json_t *counts = json_object_get(json, name);

    lcf_buf_printf(out, "| %s | %lld | %lld | %lld | %lld |\n", name,
                   (long long)json_integer_value(json_object_get(counts, "before")),
                   (long long)json_integer_value(json_object_get(counts, "after")),
                   (long long)json_integer_value(json_object_get(counts, "new")),
                   (long long)json_integer_value(json_object_get(counts, "gone")));
}

static void write_figure(lcf_buf *out, const json_t *value)
{
    if (json_is_real(value))
        lcf_buf_printf(out, " %.4f |", json_real_value(value));
    else
        lcf_buf_append_text(out, " |");
}

static void write_psi(lcf_buf *out, const char *kind, const char *name, const json_t *of)
{
    lcf_buf_printf(out, "| %s %s |", kind, name);
    write_figure(out, json_object_get(of, "psi"));
    write_figure(out, json_object_get(of, "by_chance"));
    lcf_buf_append_char(out, '\n');
}

static void write_page(lcf_buf *out, json_t *json)
{
    static const char *const names[] = {"rows", "users", "items", "brands", "categories"};
    json_t *of;
    size_t i;

    lcf_buf_append_text(out, "# What the night changed\n\n| | before | after | new | gone |\n"
                             "|---|---|---|---|---|\n");
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        write_counts(out, json, names[i]);
    lcf_buf_append_text(
        out,
        "\nPopulation stability index: of features, the new rows against the earlier ones; of "
        "scores, the test split of this\nnight against that of the last one. Below .1 is called "
        "stable, above .25 a shift, when there are rows enough: by chance\nis about what no "
        "change would give.\n\n| of | PSI | by chance |\n|---|---|---|\n");
    json_array_foreach(json_object_get(json, "features"), i, of)
        write_psi(out, "feature", json_string_value(json_object_get(of, "feature")), of);
    json_array_foreach(json_object_get(json, "scores"), i, of)
        write_psi(out, "scores of", json_string_value(json_object_get(of, "arm")), of);
}

static lcf_status write_all(const changes *c, lcf_manifest *m, json_t *json, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_buf page = LCF_BUF_INIT;
    char *path = NULL;
    lcf_status status = lcf_stage_open(&stage, c->o->out_dir, err);

    if (status)
        return status;
    path = lcf_path_join(lcf_stage_path(stage), "changes.json");
    write_page(&page, json);
    status = path ? lcf_json_save(path, json, err) : LCF_FAIL(err, LCF_ENOMEM, "changes.json");
    if (!status)
        status = lcf_file_write_text(lcf_stage_path(stage), "changes.md", &page, err);
    if (!status)
        status = lcf_manifest_write(m, lcf_stage_path(stage), err);
    if (!status)
        status = lcf_stage_commit(stage, err);
    else
        lcf_stage_abandon(stage);
    lcf_buf_dispose(&page);
    free(path);
    return status;
}

/* ---- inputs ---- */

static lcf_status add_input(lcf_manifest *m, const char *role, const char *dir, const char *name,
                            lcf_err *err)
{
    char *path = lcf_path_join(dir, name);
    lcf_status status = path ? lcf_manifest_input(m, role, path, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path of %s", name);

    free(path);
    return status;
}

static lcf_status describe(lcf_manifest *m, const changes *c, lcf_err *err)
{
    lcf_status status = add_input(m, "before", c->o->before_dir, "dataset", err);

    if (!status)
        status = add_input(m, "after", c->o->after_dir, "dataset", err);
    for (size_t i = 0; !status && i < c->arms_n; i++) {
        char role[300];

        snprintf(role, sizeof(role), "before:%s", c->arms[i]);
        status = add_input(m, role, c->o->before_dir, c->arms[i], err);
        snprintf(role, sizeof(role), "after:%s", c->arms[i]);
        if (!status)
            status = add_input(m, role, c->o->after_dir, c->arms[i], err);
    }
    return status;
}

static lcf_status open_dataset(lcf_dataset *out, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "dataset");
    lcf_status status =
        path ? lcf_dataset_open(out, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path of a dataset");

    free(path);
    return status;
}

static lcf_status read_current(json_t **json, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "changes.json");
    lcf_status status =
        path ? lcf_json_load(json, path, err) : LCF_FAIL(err, LCF_ENOMEM, "changes.json");

    free(path);
    return status;
}

static void dispose(changes *c)
{
    for (size_t i = 0; i < c->arms_n; i++)
        free(c->arms[i]);
    free(c->known);
    free(c->is_new);
    free(c->user_n);
    free(c->item_bin);
    free(c->user_was);
    free(c->item_was);
    free(c->brand_was);
    free(c->category_was);
    free(c->brand_bin);
    free(c->category_bin);
    lcf_dataset_close(&c->before);
    lcf_dataset_close(&c->after);
}

lcf_status lcf_night_changes_run(json_t **json, bool *current, const lcf_night_changes *options,
                                 lcf_err *err)
{
    changes c = {.o = options};
    lcf_manifest *m = NULL;
    lcf_status status = find_arms(&c, err);

    *json = NULL;
    *current = false;
    if (!status)
        status = lcf_manifest_create(&m, "night", err);
    if (!status)
        status = describe(m, &c, err);
    if (status)
        goto done;
    if (!options->force && lcf_manifest_is_current(m, options->out_dir)) {
        *current = true;
        status = read_current(json, options->out_dir, err);
        goto done;
    }
    status = open_dataset(&c.before, options->before_dir, err);
    if (!status)
        status = open_dataset(&c.after, options->after_dir, err);
    if (!status)
        status = make(json, &c, err);
    if (!status)
        status = write_all(&c, m, *json, err);
done:
    if (status) {
        json_decref(*json);
        *json = NULL;
    }
    lcf_manifest_free(m);
    dispose(&c);
    return status;
}
