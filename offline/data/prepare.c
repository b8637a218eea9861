/* prepare: see prepare.h. */
#include "offline/data/prepare.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "offline/data/counts.h"
#include "offline/data/dataset_write.h"
#include "offline/data/fields_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const RULE_NAMES[] = {"auto", "time", "leave-last", "column"};
static const char *const FORMAT_NAMES[] = {"auto", "movielens", "tsv"};

static json_t *params_of(const lcf_prepare_options *o, lcf_raw_format format)
{
    const lcf_sample_options *s = &o->samples;

    return json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:I, s:I}", "format",
                     FORMAT_NAMES[format], "split", RULE_NAMES[s->split], "history",
                     s->history_liked ? "liked" : "all", "history_min", (json_int_t)s->history_min,
                     "like", (double)s->like, "valid_share", s->valid_share, "test_share",
                     s->test_share, "seed", (json_int_t)s->seed, "max_bad_rows",
                     (json_int_t)o->bad_rows_max);
}

/* The schema of fields, and the files that it names. */
static lcf_status describe_fields(lcf_manifest *m, const lcf_prepare_options *o,
                                  const lcf_fields_spec *spec, lcf_err *err)
{
    char *users = lcf_path_join(o->input_dir, "users.tsv");
    lcf_status status = users ? lcf_manifest_input(m, "fields", o->fields, err)
                              : LCF_FAIL(err, LCF_ENOMEM, "path in %s", o->input_dir);

    if (!status && lcf_path_exists(users))
        status = lcf_manifest_input(m, "users", users, err);
    for (size_t i = 0; i < spec->fields.n && !status; i++) {
        const lcf_field *field = &spec->fields.list[i];
        char role[LCF_FIELD_NAME_MAX + 32];

        snprintf(role, sizeof(role), "vectors_%s_%s", LCF_FIELD_OWNER_NAMES[field->owner],
                 field->name);
        if (spec->extra[i].file)
            status = lcf_manifest_input(m, role, spec->extra[i].file, err);
    }
    free(users);
    return status;
}

/* The manifest of the dataset that is asked for, as far as inputs and parameters go. */
static lcf_status describe(lcf_manifest **out, const lcf_prepare_options *o, lcf_raw_format format,
                           const lcf_fields_spec *spec, lcf_err *err)
{
    char *items = NULL, *interactions = NULL;
    lcf_manifest *m = NULL;
    lcf_status status = lcf_manifest_create(&m, "prepare", err);

    *out = NULL;
    if (!status)
        status = lcf_manifest_params(m, params_of(o, format), err);
    if (!status && lcf_raw_paths(&items, &interactions, o->input_dir, format))
        status = LCF_FAIL(err, LCF_ENOMEM, "paths in %s", o->input_dir);
    if (!status)
        status = lcf_manifest_input(m, "items", items, err);
    if (!status)
        status = lcf_manifest_input(m, "interactions", interactions, err);
    if (!status && o->fields)
        status = describe_fields(m, o, spec, err);
    free(items);
    free(interactions);
    if (status)
        lcf_manifest_free(m);
    else
        *out = m;
    return status;
}

/* Views of everything the log and the samples hold. */
static lcf_dataset view(const lcf_raw_log *log, const lcf_samples *s)
{
    lcf_dataset d;

    memset(&d, 0, sizeof(d));
    d.catalogue.items_n = (uint32_t)log->item_id.n;
    d.catalogue.brands_n = (uint32_t)log->brand.n;
    d.catalogue.categories_n = (uint32_t)log->category.n;
    d.catalogue.item_id = lcf_intern_view(&log->item_id);
    d.catalogue.title = lcf_intern_view(&log->title);
    d.catalogue.brand = lcf_intern_view(&log->brand);
    d.catalogue.category = lcf_intern_view(&log->category);
    d.catalogue.text = lcf_intern_view(&log->text);
    d.catalogue.item_brand = log->item_brand;
    d.catalogue.category_offsets = log->category_offsets;
    d.catalogue.item_categories = log->item_categories;
    d.users_n = (uint32_t)log->user_id.n;
    d.user_id = lcf_intern_view(&log->user_id);
    d.user_offsets = s->user_offsets;
    d.event_item = s->event_item;
    d.event_time = s->event_time;
    d.event_rating = s->event_rating;
    d.events_n = s->events_n;
    d.samples_n = s->samples_n;
    memcpy(d.split_begin, s->split_begin, sizeof(d.split_begin));
    d.sample_user = s->sample_user;
    d.sample_item = s->sample_item;
    d.sample_label = s->sample_label;
    d.sample_time = s->sample_time;
    d.sample_history_end = s->sample_history_end;
    return d;
}

static json_t *split_stats(const lcf_samples *s, lcf_split split)
{
    size_t begin = s->split_begin[split], end = s->split_begin[split + 1];
    json_t *j = json_pack("{s:I, s:I}", "samples", (json_int_t)(end - begin), "positives",
                          (json_int_t)s->positives_n[split]);

    if (j && end > begin) {
        json_object_set_new(j, "time_first", json_integer(s->sample_time[begin]));
        json_object_set_new(j, "time_last", json_integer(s->sample_time[end - 1]));
    }
    return j;
}

static json_t *make_stats(const lcf_raw_log *log, const lcf_samples *s, lcf_split_rule split)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:o, s:o, s:o}", "users",
        (json_int_t)log->user_id.n - 1, "items", (json_int_t)log->item_id.n - 1, "brands",
        (json_int_t)log->brand.n - 1, "categories", (json_int_t)log->category.n - 1, "interactions",
        (json_int_t)log->rows_n, "history_events", (json_int_t)s->events_n, "bad_rows",
        (json_int_t)log->bad_rows_n, "unknown_items", (json_int_t)log->unknown_items_n,
        "positives_without_negative", (json_int_t)s->without_negative_n, "has_ratings",
        (int)log->has_ratings, "split", RULE_NAMES[split], "train", split_stats(s, LCF_TRAIN),
        "valid", split_stats(s, LCF_VALID), "test", split_stats(s, LCF_TEST));
}

static lcf_status write_dataset(const lcf_dataset *d, lcf_manifest *m, const char *dir,
                                lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = lcf_stage_open(&stage, dir, err);

    if (!status)
        status = lcf_dataset_save(lcf_stage_path(stage), d, err);
    return lcf_manifest_finish(m, stage, status, err);
}

static lcf_status check_bad_rows(size_t bad_n, const lcf_prepare_options *o, lcf_err *err)
{
    if (bad_n <= o->bad_rows_max)
        return LCF_OK;
    return LCF_FAIL(err, LCF_ELIMIT,
                    "%zu rows of %s cannot be read, at most %llu may be (--max-bad-rows); nothing "
                    "was written",
                    bad_n, o->input_dir, (unsigned long long)o->bad_rows_max);
}

static lcf_status sort_ids(lcf_raw_log *log)
{
    lcf_status status = lcf_intern_sort(&log->item_id);

    if (!status)
        status = lcf_intern_sort(&log->brand);
    if (!status)
        status = lcf_intern_sort(&log->category);
    if (!status)
        status = lcf_intern_sort(&log->user_id);
    return status;
}

/* Encodes the fields that a schema asks for. */
static lcf_status make_fields(lcf_fields *fields, lcf_raw_log *log, const lcf_samples *samples,
                              const lcf_raw_options *read, const lcf_prepare_options *o,
                              const lcf_fields_spec *spec, lcf_err *err)
{
    const lcf_fields_input input = {spec, read, log, samples};
    size_t bad_n = 0;
    lcf_status status = lcf_fields_make(fields, &bad_n, &input, err);

    log->bad_rows_n += bad_n;
    return status ? status : check_bad_rows(log->bad_rows_n, o, err);
}

/* Reads, builds and writes; m describes what comes out. */
static lcf_status run(json_t **stats, lcf_manifest *m, const lcf_prepare_options *o,
                      lcf_raw_format format, const lcf_fields_spec *spec, lcf_err *err)
{
    lcf_raw_options read = {o->input_dir, format, o->bad_row, o->bad_row_arg};
    lcf_sample_options sampling = o->samples;
    lcf_raw_log log;
    lcf_samples samples;
    lcf_fields fields;
    lcf_dataset d;
    lcf_status status;

    memset(&samples, 0, sizeof(samples));
    memset(&fields, 0, sizeof(fields));
    status = lcf_raw_read(&log, &read, err);
    if (status)
        return status;
    status = check_bad_rows(log.bad_rows_n, o, err);
    if (status)
        goto done;
    if (sampling.split == LCF_SPLIT_AUTO)
        sampling.split = log.has_splits    ? LCF_SPLIT_COLUMN
                         : log.has_ratings ? LCF_SPLIT_TIME
                                           : LCF_SPLIT_LEAVE_LAST;
    status = lcf_samples_make(&samples, &log, &sampling, err);
    if (!status && sort_ids(&log))
        status = LCF_FAIL(err, LCF_ENOMEM, "order of the ids");
    if (!status && o->fields)
        status = make_fields(&fields, &log, &samples, &read, o, spec, err);
    if (status)
        goto done;
    *stats = make_stats(&log, &samples, sampling.split);
    status = lcf_counts_keep(m, *stats, err);
    if (status)
        goto done;
    d = view(&log, &samples);
    d.fields = o->fields ? &fields : NULL;
    status = write_dataset(&d, m, o->out_dir, err);
done:
    lcf_fields_dispose(&fields);
    lcf_samples_dispose(&samples);
    lcf_raw_dispose(&log);
    return status;
}

lcf_status lcf_prepare(json_t **stats, bool *current, const lcf_prepare_options *options,
                       lcf_err *err)
{
    lcf_raw_format format = options->format;
    lcf_manifest *m = NULL;
    lcf_fields_spec spec;
    json_t *figures = NULL;
    bool same = false;
    lcf_status status = LCF_OK;

    memset(&spec, 0, sizeof(spec));
    if (stats)
        *stats = NULL;
    if (format == LCF_RAW_AUTO)
        status = lcf_raw_detect(&format, options->input_dir, err);
    if (!status && options->fields)
        status = lcf_fields_spec_load(&spec, options->fields, err);
    if (!status)
        status = describe(&m, options, format, &spec, err);
    if (!status) {
        same = !options->force && lcf_manifest_is_current(m, options->out_dir);
        status = same ? lcf_counts_read(&figures, options->out_dir, err)
                      : run(&figures, m, options, format, &spec, err);
    }
    lcf_manifest_free(m);
    lcf_fields_spec_dispose(&spec);
    if (current)
        *current = same;
    if (!status && stats) {
        *stats = figures;
        figures = NULL;
    }
    json_decref(figures);
    return status;
}
