/*
 * Spaces of sweeps and their points. Invariant: a loaded space maps each option to a list of one or
 * more scalars, or to a range with 0 < min < max where its scale is logarithmic, min < max else.
 */
#include "offline/train/sweep_space.h"

#include "common/base/json.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "common/base/yaml.h"

#include <math.h>
#include <string.h>

/* ---- loading ---- */

static bool is_scalar(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

static lcf_status check_list(const char *option, const json_t *list, lcf_err *err)
{
    size_t i;
    json_t *value;

    if (!json_array_size(list))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: an empty list", option);
    json_array_foreach(list, i, value)
    {
        if (!is_scalar(value))
            return LCF_FAIL(err, LCF_EFORMAT, "%s: value %zu is no number, text, true or false",
                            option, i + 1);
    }
    return LCF_OK;
}

static bool is_log(const json_t *range)
{
    const char *scale = json_string_value(json_object_get(range, "scale"));

    return scale && !strcmp(scale, "log");
}

static lcf_status check_range(const char *option, const json_t *range, lcf_err *err)
{
    const json_t *min = json_object_get(range, "min"), *max = json_object_get(range, "max");
    const json_t *scale = json_object_get(range, "scale");
    const char *name = json_string_value(scale);

    if (!json_is_number(min) || !json_is_number(max) ||
        json_object_size(range) != (scale ? 3u : 2u))
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s: a range is {min: NUMBER, max: NUMBER, scale: log or linear}", option);
    if (scale && (!name || (strcmp(name, "log") && strcmp(name, "linear"))))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: the scale is log or linear", option);
    if (!(json_number_value(min) < json_number_value(max)) ||
        (is_log(range) && !(json_number_value(min) > 0.0)))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: from %g to %g is no range%s", option,
                        json_number_value(min), json_number_value(max),
                        is_log(range) ? " on a logarithmic scale" : "");
    return LCF_OK;
}

/* One value becomes a list of one. */
static lcf_status take_option(json_t *space, const char *option, json_t *value, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (is_scalar(value))
        value = json_pack("[O]", value);
    else if (json_is_array(value) || json_is_object(value))
        json_incref(value);
    else
        return LCF_FAIL(err, LCF_EFORMAT, "%s has no value", option);
    if (json_is_array(value))
        status = check_list(option, value, err);
    else if (json_is_object(value))
        status = check_range(option, value, err);
    if (status) {
        json_decref(value);
        return status;
    }
    if (json_object_set_new(space, option, value))
        return LCF_FAIL(err, LCF_ENOMEM, "values of %s", option);
    return LCF_OK;
}

static lcf_status take_space(json_t **space, json_t *file, lcf_err *err)
{
    json_t *section = json_object_get(file, "train"), *value;
    lcf_status status = LCF_OK;
    const char *option;

    if (!json_is_object(section) || json_object_size(file) != 1)
        return LCF_FAIL(err, LCF_EFORMAT, "not one section 'train' with options of `llmcf train`");
    *space = json_object();
    if (!*space)
        return LCF_FAIL(err, LCF_ENOMEM, "space");
    json_object_foreach(section, option, value)
    {
        if (!strcmp(option, "out") || !strcmp(option, "json") || !strcmp(option, "config"))
            status = LCF_FAIL(err, LCF_EFORMAT, "%s: the sweep decides about it", option);
        else
            status = take_option(*space, option, value, err);
        if (status)
            break;
    }
    if (status) {
        json_decref(*space);
        *space = NULL;
    }
    return status;
}

lcf_status sweep_space_load(json_t **space, const char *path, lcf_err *err)
{
    json_t *file;
    lcf_status status = lcf_yaml_load(&file, path, err);

    *space = NULL;
    if (status)
        return status;
    status = take_space(space, file, err);
    if (status)
        lcf_err_prefix(err, "%s", path);
    json_decref(file);
    return status;
}

bool sweep_space_varies(const json_t *space, const char *option)
{
    const json_t *values = json_object_get(space, option);

    return json_is_object(values) || json_array_size(values) > 1;
}

/* ---- points ---- */

/* Sets an option of a point as it would be typed. */
static int put_value(json_t *point, const char *option, const json_t *value)
{
    char text[64];

    if (json_is_false(value))
        return 0;
    if (json_is_true(value))
        return json_object_set_new(point, option, json_true());
    if (json_is_string(value))
        return json_object_set_new(point, option, json_string(json_string_value(value)));
    if (json_is_integer(value))
        snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        snprintf(text, sizeof(text), "%.12g", json_real_value(value));
    return json_object_set_new(point, option, json_string(text));
}

lcf_status sweep_grid(json_t **points, const json_t *space, lcf_err *err)
{
    json_t *values, *done = json_array();
    const char *option;
    int failed = !done || json_array_append_new(done, json_object());

    json_object_foreach((json_t *)space, option, values)
    {
        json_t *next = json_array(), *point, *value;
        size_t i, j;

        if (json_is_object(values) ||
            json_array_size(done) * json_array_size(values) > LCF_SWEEP_POINTS_MAX) {
            const bool range = json_is_object(values);

            json_decref(next);
            json_decref(done);
            return range ? LCF_FAIL(err, LCF_EINVAL,
                                    "%s is a range; a grid takes lists (random search: --points)",
                                    option)
                         : LCF_FAIL(err, LCF_ELIMIT, "more than %d points", LCF_SWEEP_POINTS_MAX);
        }
        json_array_foreach(done, i, point)
        {
            json_array_foreach(values, j, value)
            {
                json_t *copy = json_copy(point);

                failed |=
                    !copy || put_value(copy, option, value) || json_array_append_new(next, copy);
            }
        }
        json_decref(done);
        done = next;
    }
    if (failed) {
        json_decref(done);
        return LCF_FAIL(err, LCF_ENOMEM, "points of a grid");
    }
    *points = done;
    return LCF_OK;
}

/* A value of a range, in five digits: what is printed is what is used. */
static int draw_range(json_t *point, const char *option, const json_t *range, lcf_rng *rng)
{
    const double min = json_number_value(json_object_get(range, "min"));
    const double max = json_number_value(json_object_get(range, "max"));
    const double u = lcf_rng_f64(rng);
    char text[64];

    snprintf(text, sizeof(text), "%.5g",
             is_log(range) ? exp(log(min) + u * (log(max) - log(min))) : min + u * (max - min));
    return json_object_set_new(point, option, json_string(text));
}

static json_t *draw_point(const json_t *space, lcf_rng *rng)
{
    json_t *point = json_object(), *values;
    const char *option;
    int failed = !point;

    json_object_foreach((json_t *)space, option, values)
    {
        if (json_is_object(values))
            failed |= draw_range(point, option, values, rng);
        else
            failed |= put_value(
                point, option,
                json_array_get(values, (size_t)lcf_rng_below(rng, json_array_size(values))));
    }
    if (failed) {
        json_decref(point);
        return NULL;
    }
    return point;
}

static bool is_new(const json_t *points, const json_t *point)
{
    const json_t *other;
    size_t i;

    json_array_foreach(points, i, other)
    {
        if (json_equal(other, point))
            return false;
    }
    return true;
}

lcf_status sweep_random(json_t **points, const json_t *space, size_t n, uint64_t seed, lcf_err *err)
{
    json_t *drawn = json_array();
    int failed = !drawn;
    lcf_rng rng;

    if (n > LCF_SWEEP_POINTS_MAX) {
        json_decref(drawn);
        return LCF_FAIL(err, LCF_ELIMIT, "more than %d points", LCF_SWEEP_POINTS_MAX);
    }
    lcf_rng_seed(&rng, seed, 0);
    for (size_t tries = 0; tries < 20 * n && json_array_size(drawn) < n && !failed; tries++) {
        json_t *point = draw_point(space, &rng);

        if (point && !is_new(drawn, point))
            json_decref(point);
        else
            failed = !point || json_array_append_new(drawn, point);
    }
    if (failed) {
        json_decref(drawn);
        return LCF_FAIL(err, LCF_ENOMEM, "%zu points", n);
    }
    *points = drawn;
    return LCF_OK;
}
