/* See golden.h. */
#include "tests/parity/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static FILE *open_golden(const char *name, const char *suffix)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/tests/parity/golden/%s.%s", root ? root : ".", name, suffix);
    f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    return f;
}

/* "name dim ..." per line. */
static void read_index(golden *g, const char *name)
{
    FILE *f = open_golden(name, "txt");
    char line[256];

    while (fgets(line, sizeof(line), f)) {
        golden_tensor *t = &g->list[g->list_n++];
        char *save = NULL, *word = strtok_r(line, " \n", &save);

        assert_true(g->list_n <= GOLDEN_TENSORS_MAX);
        snprintf(t->name, sizeof(t->name), "%s", word);
        t->n = 1;
        while ((word = strtok_r(NULL, " \n", &save))) {
            assert_true(t->dims_n < 4);
            t->dims[t->dims_n] = strtoul(word, NULL, 10);
            t->n *= t->dims[t->dims_n++];
        }
    }
    fclose(f);
}

void golden_open(golden *g, const char *name)
{
    size_t total = 0, at = 0;
    FILE *f;

    memset(g, 0, sizeof(*g));
    read_index(g, name);
    for (size_t i = 0; i < g->list_n; i++)
        total += g->list[i].n;
    g->data = malloc(total * sizeof(float));
    f = open_golden(name, "f32");
    assert_int_equal(fread(g->data, sizeof(float), total, f), total);
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
    for (size_t i = 0; i < g->list_n; at += g->list[i++].n)
        g->list[i].data = g->data + at;
}

void golden_close(golden *g)
{
    free(g->data);
}

const golden_tensor *golden_get(const golden *g, const char *prefix, const char *name)
{
    char full[128];

    snprintf(full, sizeof(full), "%s%s", prefix, name);
    for (size_t i = 0; i < g->list_n; i++)
        if (!strcmp(g->list[i].name, full))
            return &g->list[i];
    fail_msg("no golden tensor %s", full);
    return NULL;
}

void golden_assert_close(const char *name, const float *got, const golden_tensor *want)
{
    double largest = 0.0;

    for (size_t i = 0; i < want->n; i++)
        largest = fmax(largest, fabs((double)want->data[i]));
    for (size_t i = 0; i < want->n; i++) {
        const double difference = fabs((double)got[i] - (double)want->data[i]);

        if (!(difference <= GOLDEN_RELATIVE * largest + 1e-9))
            fail_msg("%s[%zu] is %.9g, golden %.9g (off by %.3g, largest %.3g)", name, i,
                     (double)got[i], (double)want->data[i], difference, largest);
    }
}

void golden_assert_params(const golden *g, const char *prefix, const lcf_params *p,
                          const float *block)
{
    for (size_t i = 0; i < p->list_n; i++)
        golden_assert_close(p->list[i].name, block + p->list[i].offset,
                            golden_get(g, prefix, p->list[i].name));
}

void golden_fill_params(lcf_params *p, const golden *g)
{
    for (size_t i = 0; i < p->list_n; i++) {
        const golden_tensor *t = golden_get(g, "param.", p->list[i].name);

        assert_int_equal(t->n, p->list[i].n);
        memcpy(lcf_params_value(p, i), t->data, t->n * sizeof(float));
    }
}
